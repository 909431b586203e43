// Package localaws is local AWS: a service that speaks the AWS wire protocols and really balances load.
//
// In come HTTP requests from AWS SDKs, the aws CLI or Terraform; out go the answers AWS would give, and, through
// internal/proxy, open listeners that carry traffic. What always holds: a request that AWS refuses is refused here with
// the same code; an answered change survives kill -9 and is in force when the answer arrives; a failed call changes
// nothing. What this version does not do is refused by name, never accepted and dropped.
//
// A request passes these files: server.go (HTTP, dispatch), throttle.go and namedfault.go (whether it may pass, and what
// goes wrong on demand), wire (bytes to SDK structs), a handler in the file named after its resource, tx.go (state, undo,
// commit), plane.go (the data plane's configuration), lag.go (what of it is in force yet). profile.go says how slow and how
// strict all this is. To add a service: add its model to hack/models.py, its name to registry.go, and a file with its
// handlers.
//
// The package knows nothing of Kubernetes or of the controller.
package localaws
