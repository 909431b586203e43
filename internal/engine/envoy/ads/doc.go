// Package ads serves xDS resources to Envoys by one incremental ("delta") aggregated stream each. In go resources, by
// Update; out come, to each Envoy, just those that it wants and does not have.
//
// What always holds:
//   - A resource's version is the hash of its content. What a client has, also from before a restart of this process, is
//     not sent again.
//   - Make before break: clusters go first, and routes to them when the clusters have their endpoints; listeners, route
//     tables, virtual hosts follow, each when what went before has been accepted. Removals go last, in reverse.
//   - Endpoints and secrets depend on nothing and wait for nothing.
//   - A resource that a client refuses costs only itself: what came along with it is sent again, one by one, and goes on.
//   - Nothing is sent before Open.
package ads
