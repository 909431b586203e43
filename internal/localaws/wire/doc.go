// Package wire speaks the AWS protocols from the server's side: query, EC2 query, JSON and REST-XML, one codec each.
//
// In goes a service's published API model; out comes, for every operation, a decoder from request bytes to the SDK's
// input struct and an encoder from the SDK's output struct to response bytes. Nothing here knows an operation by name:
// a new service is a model and its handlers. Members that the model has and the SDK's struct has not are skipped.
//
// Decoders take hostile bytes: they return an *Error, never panic, and use memory in proportion to the input.
package wire
