package localaws

import (
	"encoding/json"
	"net/http"
)

// admin adds the endpoints that AWS does not have. Their paths cannot clash with any of AWS's.
func (s *Server) admin(mux *http.ServeMux) {
	mux.HandleFunc("GET /_local/health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": "ok", "region": s.options.Region, "accountID": s.options.AccountID})
	})
	mux.HandleFunc("GET /_local/calls", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.Calls())
	})
	mux.HandleFunc("DELETE /_local/calls", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetCalls()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_local/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write([]byte(s.AuthorityPEM())) // the client is gone; there is nobody to tell
	})
	mux.HandleFunc("GET /_local/truststore", s.serveTrustStore)
	mux.HandleFunc("/_local/", http.NotFound)
}

// AuthorityPEM is the certificate of the authority that signs what ACM issues here.
func (s *Server) AuthorityPEM() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	body, _ := s.state.meta.get("authority.certificate")
	return body
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client is gone; there is nobody to tell
}
