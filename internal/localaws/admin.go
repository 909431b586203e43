package localaws

import (
	"encoding/json"
	"io"
	"net/http"
)

// admin adds the endpoints that AWS does not have. Their paths cannot clash with any of AWS's.
func (s *Server) admin(mux *http.ServeMux) {
	mux.HandleFunc("GET /_local/health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": "ok", "region": s.options.Region, "accountID": s.options.AccountID})
	})
	mux.HandleFunc("GET /_local/calls", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Calls()) })
	mux.HandleFunc("GET /_local/calls/log", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.CallLog()) })
	mux.HandleFunc("DELETE /_local/calls", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetCalls()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_local/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write([]byte(s.AuthorityPEM())) // the client is gone; there is nobody to tell
	})
	mux.Handle("GET /_local/metrics", s.metrics())
	mux.HandleFunc("POST /_local/logs/flush", s.flushLogs)
	mux.HandleFunc("GET /_local/truststore", s.serveTrustStore)
	mux.HandleFunc("GET /_local/public-keys/{id}", s.serveIdentityKey)
	mux.HandleFunc("GET public-keys.auth.elb."+s.options.Region+".amazonaws.com/{id}", s.serveIdentityKey)
	mux.HandleFunc("GET /_local/profile", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Profile()) })
	mux.HandleFunc("PUT /_local/profile", func(w http.ResponseWriter, r *http.Request) {
		var p Profile
		if readJSON(w, r, &p) && succeeded(w, s.SetProfile(p)) {
			writeJSON(w, s.Profile())
		}
	})
	s.adminFaults(mux)
	s.serveConsole(mux)
	mux.HandleFunc("/_local/", http.NotFound)
}

func (s *Server) adminFaults(mux *http.ServeMux) {
	mux.HandleFunc("GET /_local/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Faults()) })
	mux.HandleFunc("GET /_local/faults/{name}", func(w http.ResponseWriter, r *http.Request) {
		for _, f := range s.Faults() {
			if f.Name == r.PathValue("name") {
				writeJSON(w, f)
				return
			}
		}
		refuse(w, http.StatusNotFound, "there is no fault "+r.PathValue("name"))
	})
	mux.HandleFunc("PUT /_local/faults/{name}", func(w http.ResponseWriter, r *http.Request) {
		f := NamedFault{}
		if !readJSON(w, r, &f) {
			return
		}
		f.Name = r.PathValue("name")
		if f, err := s.PutFault(f); succeeded(w, err) {
			writeJSON(w, f)
		}
	})
	remove := func(w http.ResponseWriter, r *http.Request) {
		if succeeded(w, s.RemoveFault(r.PathValue("name"))) {
			w.WriteHeader(http.StatusNoContent)
		}
	}
	mux.HandleFunc("DELETE /_local/faults/{name}", remove)
	mux.HandleFunc("DELETE /_local/faults", remove)
}

// serveIdentityKey answers what AWS does at public-keys.auth.elb.REGION.amazonaws.com.
func (s *Server) serveIdentityKey(w http.ResponseWriter, r *http.Request) {
	if plane, ok := s.plane.(interface{ IdentityKey() (id, key string) }); ok {
		if id, key := plane.IdentityKey(); id == r.PathValue("id") {
			w.Header().Set("Content-Type", "application/x-pem-file")
			_, _ = w.Write([]byte(key)) // the client is gone; there is nobody to tell
			return
		}
	}
	http.NotFound(w, r)
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
	e := json.NewEncoder(w)
	e.SetIndent("", "  ") // people read it with curl
	_ = e.Encode(value)   // the client is gone; there is nobody to tell
}

// maxAdminBody is far above what any admin request says.
const maxAdminBody = 64 << 10

// readJSON reads the body of a request, or answers what is wrong with it.
func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if err == nil {
		err = strictJSON(body, into)
	}
	return succeeded(w, err)
}

// succeeded answers what went wrong, if anything.
func succeeded(w http.ResponseWriter, err error) bool {
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
	}
	return err == nil
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why}) // the client is gone; there is nobody to tell
}
