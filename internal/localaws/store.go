package localaws

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// store keeps the state in one bbolt file. Nil keeps nothing.
//
// It does not wait for the disk on every call: bytes handed to the kernel survive the death of this process, which is
// what is promised, and a call costs microseconds. They are flushed when the store is closed.
type store struct{ db *bolt.DB }

func openStore(dir string) (*store, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localaws: data directory: %w", err)
	}
	path := filepath.Join(dir, "localaws.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true, NoFreelistSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("localaws: %s is in use by another local AWS", path)
	}
	if err != nil {
		return nil, fmt.Errorf("localaws: open %s: %w", path, err)
	}
	return &store{db}, nil
}

// load fills an empty state.
func (s *store) load(st *state) error {
	if s == nil {
		return nil
	}
	return s.db.View(func(btx *bolt.Tx) error {
		for _, t := range st.tables {
			bucket := btx.Bucket([]byte(t.name()))
			if bucket == nil {
				continue
			}
			err := bucket.ForEach(func(id, data []byte) error {
				seq, err := t.load(string(id), data)
				st.seq = max(st.seq, seq)
				return err
			})
			if err != nil {
				return fmt.Errorf("localaws: load state: %w", err)
			}
			t.sort()
		}
		return nil
	})
}

// commit writes the changes of one call, all or none.
func (s *store) commit(writes []write) error {
	if s == nil || len(writes) == 0 {
		return nil
	}
	err := s.db.Update(func(btx *bolt.Tx) error {
		for _, w := range writes {
			bucket, err := btx.CreateBucketIfNotExists([]byte(w.kind))
			if err != nil {
				return err
			}
			if w.data == nil {
				err = bucket.Delete([]byte(w.id))
			} else {
				err = bucket.Put([]byte(w.id), w.data)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("localaws: save state: %w", err)
	}
	return nil
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.db.Sync(), s.db.Close())
}
