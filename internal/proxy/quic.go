package proxy

// A connection id of QUIC as targets make it has the server's id in plain text (QUIC-LB, draft-ietf-quic-load-balancers,
// Plaintext CID Algorithm): one octet of configuration and length, eight of the server id, and what the target likes.
const (
	quicLongHeader = 0x80
	quicServerLen  = 8
)

// quicServer finds the server id in a packet's destination connection id. What a client makes up for its first packet has
// none, but looks the same: it is for the caller to know the ids there are.
func quicServer(packet []byte) (id string, ok bool) {
	var cid []byte
	switch {
	case len(packet) == 0:
		return "", false
	case packet[0]&quicLongHeader == 0:
		cid = packet[1:] // a short header does not say how long it is
	case len(packet) < 6 || len(packet) < 6+int(packet[5]):
		return "", false
	default:
		cid = packet[6 : 6+int(packet[5])]
	}
	if len(cid) < 1+quicServerLen {
		return "", false
	}
	return string(cid[1 : 1+quicServerLen]), true
}

// quicTarget finds the target that a packet names, nil where it names none that is there.
func (f *nodeFront) quicTarget(packet []byte) *target {
	id, ok := quicServer(packet)
	if !ok {
		return nil
	}
	for _, share := range f.forward.forward {
		if c := share.group.network.Load(); c != nil && c.servers[id] != nil {
			return c.servers[id]
		}
	}
	return nil
}
