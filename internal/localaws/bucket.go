package localaws

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// buckets stands for S3, which there is none of here: a folder in which each bucket is a folder and each object a file.
// Empty, there is no bucket.
type buckets string

// maxObject is how large an object may be that local AWS reads: a file of revocations on AWS has 50 MB at most.
const maxObject = 50 << 20

var errNoBuckets = errors.New("local AWS was started without a folder of buckets")

// open finds a bucket. Names and keys cannot lead out of it.
func (b buckets) open(bucket string) (*os.Root, error) {
	if b == "" {
		return nil, errNoBuckets
	}
	if bucket == "" || strings.ContainsAny(bucket, `/\`) || strings.HasPrefix(bucket, ".") {
		return nil, fmt.Errorf("%q is not the name of a bucket", bucket)
	}
	all, err := os.OpenRoot(string(b))
	if err != nil {
		return nil, err
	}
	defer func() { _ = all.Close() }() // it was only looked at
	return all.OpenRoot(bucket)
}

// read returns an object.
func (b buckets) read(bucket, key string) ([]byte, error) {
	root, err := b.open(bucket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // as is what comes from it
	f, err := root.Open(key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxObject+1))
	if err == nil && len(data) > maxObject {
		err = fmt.Errorf("%s/%s has more than %d bytes", bucket, key, maxObject)
	}
	return data, err
}

// write makes an object, with the folders that its key names.
func (b buckets) write(bucket, key string, data []byte) error {
	root, err := b.open(bucket)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if at := strings.LastIndexByte(key, '/'); at > 0 {
		if err := root.MkdirAll(key[:at], 0o755); err != nil {
			return err
		}
	}
	return root.WriteFile(key, data, 0o644)
}

// why words trouble with a bucket for whoever named it.
func why(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
