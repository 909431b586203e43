// Package proxy is the data plane behind local AWS: Application and Network Load Balancer semantics over real sockets.
//
// In goes a Config, the whole wanted state: load balancers with their addresses, listeners, rules, target groups and
// targets. Out come open listeners that carry traffic, health checks that probe, and each target's health. Requests are
// never lost by a change of configuration: in-flight requests finish under the rules they started with, and a target
// that is taken away drains.
//
// A request goes through request.go (the head is read and judged), route.go (a rule of the frontend, an immutable value
// that each Apply replaces, so no lock is taken), group.go (a target) and forward.go (there and back); authenticate.go and jwt.go
// decide whose requests are served at all; answer.go has what
// the load balancer says itself. HTTP/1 is read and written here, on both sides, and not by net/http: that answers
// malformed requests in its own words, hides the forms that request smuggling uses and repeated Host fields, rewrites the
// case and order of fields, and sends requests again by rules of its own. HTTP/2 leaves no such freedom, so its frames are
// net/http's (streams.go); each stream makes a request and takes an answer as a connection of HTTP/1 does, and side.go
// is what the two have in common. TLS is crypto/tls's, with the certificate chosen here (tls.go, certificate.go), and
// clients' certificates verified here (mtls.go).
//
// A flow through a Network Load Balancer goes through nodeport.go (a port of a node in one zone), networkchoice.go (a
// target, by hash or by the client's address) and flow.go, with leg.go for each side of it, or datagram.go, with quic.go
// where packets name their server. Both kinds of load balancers have target groups, health checks and TLS in common.
//
// Where AWS documents nothing, this is what happens:
//   - A request line above 16 K is 414, since it is the target that is long; other limits are 400.
//   - A head has to be complete within the idle timeout from its first byte, so that dripping bytes in holds nothing.
//   - A request is sent a second time only to the same target, when that closed a connection it had kept open and has
//     answered nothing: GET, HEAD and OPTIONS without a body, and any request of which no byte was taken. Otherwise 502.
//   - An answer of up to 8 K is held back until its body is complete, so that a short one becomes 502 (the target
//     closed) or 504 (it fell silent). A longer one that is cut short resets the client's connection.
//   - An initial target becomes unhealthy by the unhealthy threshold. A changed health check is run at once, with the
//     state as it is.
//   - A draining target of a group that no rule uses is gone at once if it has nothing to finish.
//   - A removed listener closes idle connections and tunnels at once, and others after the request they carry.
//   - TLS has to be agreed on within the idle timeout. A listener whose security policy is not known, or that has no
//     certificate it could read, refuses every handshake. FIPS policies are not known: crypto/tls cannot do without
//     ChaCha20 in TLS 1.3. It has no CBC suites with SHA384, nor AES256-SHA256, and orders suites itself.
//   - A client's certificate may come with three others. Every certificate of a trust store is an anchor, intermediate ones
//     too. Where expiry is ignored, that of the client's own certificate is.
//   - A stream of HTTP/2 has the idle timeout of its own, and so has a connection without streams: it ends with GOAWAY.
//     Fields reach HTTP/1.1 targets in the order of their names. Malformed streams are reset, as RFC 9113 says, and a
//     head above 128 K is 431.
//   - Response header attributes are set in the load balancer's own answers too.
//   - A regular expression may match anywhere in a value; a transform replaces its first match, and of the host its name
//     only, as conditions see it. A rule with an expression that is not understood never matches.
//   - Severe requests are 400 in desync mode monitor too, since nobody says where they would end.
//   - Stickiness cookies are set in answers of targets only. Their key turns every day, and follows from a secret.
//   - A session is sealed like stickiness cookies are, and is good for its provider, client and cookie name only. Every
//     listener that has users sign in takes their return from the provider at /oauth2/idpresponse, ahead of its rules.
//     Only a request's own authenticate action drops x-amzn-oidc- fields of the client's. A token's times have no
//     tolerance.
//   - Targets of HTTP/2 and gRPC are spoken to by net/http (relay.go), in both directions at once, with fields in lower case
//     but for the load balancer's own. Our own answers to gRPC calls are pages too: clients make codes of the status.
//     A failed request is not sent again but where net/http knows that the target did not see it.
//   - A flow of a Network Load Balancer that was quiet for too long, whose target cannot be reached, or whose listener goes
//     is reset at once on both sides; AWS answers the next packet so. Keep-alives of TCP do not count as traffic, as they
//     cannot be seen here. A flow of UDP whose target fails its checks begins anew with the next packet.
//   - A node without a target to give a connection to resets it. The weights of target groups are drawn for each flow.
//   - Flows that go on in a target that drains for being unhealthy (unhealthy.draining) end with its interval.
//   - A target of TLS is offered the protocol that was agreed on with the client, and no name (SNI).
//   - The client's address is kept where client and target are both at loopback addresses of this machine, not the port.
//   - Server ids of QUIC are octets 2 to 9 of connection ids, as the plain-text form of QUIC-LB has them.
//   - Trailers and 1xx answers (but 100) pass, CONNECT is 400, percent-encoding is not decoded for matching.
//
// The package knows nothing of the AWS wire protocols, of Kubernetes or of the controller. What the semantics are is
// written down by the AWS documents named beside the code.
package proxy
