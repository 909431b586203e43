// Package spec is what the runtime (package cri) tells a container's init
// (lab-image) about the container to become. It is all that the two have in
// common, and small, so that lab-image stays small.
package spec

// The files that an init inherits.
const (
	// SpecFD is where init reads its Container as JSON.
	SpecFD = 3
	// ErrorFD is where init writes why it could not start the program. It is
	// closed by a successful exec, so that end of file means "started".
	ErrorFD = 4
)

// Container is one container's view of the world. The namespaces exist when
// init reads this: mount, PID, UTS and IPC are new, network is the pod's.
type Container struct {
	Hostname string
	// Root is an empty directory on the host to build the root file system on.
	Root string
	// Binary is lab-image on the host; Programs are the names it goes by in /bin.
	Binary   string
	Programs []string
	// ResolvConf is the content of /etc/resolv.conf.
	ResolvConf string
	Mounts     []Mount
	ReadOnly   bool

	Args []string
	Env  []string
	Dir  string

	UID, GID int
	Groups   []int
}

// Mount is a host file or directory bound into the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}
