package node

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	cadvisorapiv2 "github.com/google/cadvisor/info/v2"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
)

// machine stands in for cAdvisor. It says what an m5.large would, whatever the
// machine is, so that pods are scheduled alike everywhere; usage of containers
// is the runtime's to tell.
type machine struct{ name string }

func (machine) Start() error { return nil }

func (m machine) MachineInfo() (*cadvisorapi.MachineInfo, error) {
	return &cadvisorapi.MachineInfo{
		Timestamp: time.Now(), NumCores: 2, NumPhysicalCores: 1, NumSockets: 1, MemoryCapacity: 8 << 30,
		MachineID: m.name, SystemUUID: m.name, BootID: m.name, InstanceID: cadvisorapi.InstanceID(m.name),
		Topology: []cadvisorapi.Node{{Id: 0, Memory: 8 << 30, Cores: []cadvisorapi.Core{{Id: 0, Threads: []int{0, 1}}}}},
	}, nil
}

func (machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, err
	}
	return &cadvisorapi.VersionInfo{KernelVersion: unix.ByteSliceToString(uts.Release[:]), ContainerOsVersion: "Sluice lab"}, nil
}

// The figures of the root "container" are the node's; the kubelet asks for no
// other, and goes without when there are none.
func (machine) ContainerInfoV2(string, cadvisorapiv2.RequestOptions) (map[string]cadvisorapiv2.ContainerInfo, error) {
	now := time.Now()
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return nil, err
	}
	return map[string]cadvisorapiv2.ContainerInfo{"/": {
		Spec: cadvisorapiv2.ContainerSpec{CreationTime: now, HasMemory: true, Memory: cadvisorapiv2.MemorySpec{Limit: 8 << 30}},
		Stats: []*cadvisorapiv2.ContainerStats{{
			Timestamp: now, Memory: &cadvisorapi.MemoryStats{}, Cpu: &cadvisorapi.CpuStats{}, CpuInst: &cadvisorapiv2.CpuInstStats{},
		}},
	}}, nil
}

func (machine) GetRequestedContainersInfo(string, cadvisorapiv2.RequestOptions) (map[string]*cadvisorapi.ContainerInfo, error) {
	return nil, errors.New("the lab has no cAdvisor")
}

func (machine) ImagesFsInfo(context.Context) (cadvisorapiv2.FsInfo, error)    { return fsInfo("/") }
func (machine) RootFsInfo() (cadvisorapiv2.FsInfo, error)                     { return fsInfo("/") }
func (machine) ContainerFsInfo(context.Context) (cadvisorapiv2.FsInfo, error) { return fsInfo("/") }
func (machine) GetDirFsInfo(path string) (cadvisorapiv2.FsInfo, error)        { return fsInfo(path) }

func fsInfo(path string) (cadvisorapiv2.FsInfo, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return cadvisorapiv2.FsInfo{}, err
	}
	block, files, free := uint64(fs.Bsize), fs.Files, fs.Ffree
	return cadvisorapiv2.FsInfo{Timestamp: time.Now(), Device: "lab", Mountpoint: "/", Capacity: fs.Blocks * block,
		Available: fs.Bavail * block, Usage: (fs.Blocks - fs.Bfree) * block, Inodes: &files, InodesFree: &free}, nil
}

// containers is the kubelet's stub, which does nothing, with a disk for pods
// that ask for space on one.
type containers struct{ cm.ContainerManager }

// GetCapacity is the disk of an instance as eksctl makes it.
func (containers) GetCapacity(bool) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceEphemeralStorage: *resource.NewQuantity(80<<30, resource.BinarySI)}
}

// GetPodCgroupRoot is where the usage of all pods is looked up; the figures of
// "/" are what there is (see ContainerInfoV2).
func (containers) GetPodCgroupRoot() string { return "/" }

// fileSystem is the machine's, except that what the kubelet would do in
// /var/log/containers it does in the node's directory.
type fileSystem struct {
	kubecontainer.RealOS
	logs string
}

// legacyLogs is a constant of the kubelet that it does not export.
const legacyLogs = "/var/log/containers"

func (f fileSystem) own(path string) string {
	if rest, ok := strings.CutPrefix(path, legacyLogs); ok {
		return f.logs + rest
	}
	return path
}

func (f fileSystem) MkdirAll(path string, perm os.FileMode) error {
	return f.RealOS.MkdirAll(f.own(path), perm)
}
func (f fileSystem) Symlink(old, new string) error             { return f.RealOS.Symlink(old, f.own(new)) }
func (f fileSystem) Stat(path string) (os.FileInfo, error)     { return f.RealOS.Stat(f.own(path)) }
func (f fileSystem) Remove(path string) error                  { return f.RealOS.Remove(f.own(path)) }
func (f fileSystem) RemoveAll(path string) error               { return f.RealOS.RemoveAll(f.own(path)) }
func (f fileSystem) ReadDir(dir string) ([]os.DirEntry, error) { return f.RealOS.ReadDir(f.own(dir)) }
func (f fileSystem) Glob(pattern string) ([]string, error)     { return f.RealOS.Glob(f.own(pattern)) }
