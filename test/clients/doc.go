// Package clients holds tests that drive local AWS with clients that nobody here wrote: the aws CLI, boto3, dig, curl, gRPC
// and WebSocket libraries, and that compare its answers with moto's. They run with `make clients`.
package clients
