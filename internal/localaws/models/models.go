// Package models holds the published AWS API models that local AWS serves, cut down by hack/models.py.
package models

import "embed"

// FS has one SERVICE.json for each service.
//
//go:embed *.json NOTICE
var FS embed.FS
