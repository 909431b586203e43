package cri

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stats reads what a container's first process uses. Children are not
// counted: without cgroups nobody keeps the sum.
func (c *container) stats() *runtime.ContainerStats {
	c.mu.Lock()
	pid := c.process.PID
	c.mu.Unlock()
	cpu, memory := usage(pid)
	now := time.Now().UnixNano()
	return &runtime.ContainerStats{
		Attributes: &runtime.ContainerAttributes{Id: c.id, Metadata: c.config.GetMetadata(),
			Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations()},
		Cpu: &runtime.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &runtime.UInt64Value{Value: cpu}},
		Memory: &runtime.MemoryUsage{Timestamp: now, WorkingSetBytes: &runtime.UInt64Value{Value: memory},
			UsageBytes: &runtime.UInt64Value{Value: memory}, RssBytes: &runtime.UInt64Value{Value: memory}},
		WritableLayer: &runtime.FilesystemUsage{Timestamp: now, FsId: &runtime.FilesystemIdentifier{Mountpoint: c.root},
			UsedBytes: &runtime.UInt64Value{}, InodesUsed: &runtime.UInt64Value{}},
	}
}

// usage is processor time in nanoseconds and resident memory in bytes; zero
// for a process that is gone.
func usage(pid int) (cpu, memory uint64) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 22 {
		return 0, 0
	}
	user, _ := strconv.ParseUint(fields[11], 10, 64)
	system, _ := strconv.ParseUint(fields[12], 10, 64)
	pages, _ := strconv.ParseUint(fields[21], 10, 64)
	const tick = uint64(time.Second / 100) // USER_HZ is 100 on every Linux
	return (user + system) * tick, pages * uint64(os.Getpagesize())
}

// ContainerStats describes what one container uses.
func (s *Server) ContainerStats(_ context.Context, r *runtime.ContainerStatsRequest) (*runtime.ContainerStatsResponse, error) {
	s.mu.Lock()
	c, err := find(s.containers, "container", r.GetContainerId())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return &runtime.ContainerStatsResponse{Stats: c.stats()}, nil
}

// ListContainerStats describes what running containers use.
func (s *Server) ListContainerStats(_ context.Context, r *runtime.ListContainerStatsRequest) (*runtime.ListContainerStatsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runtime.ListContainerStatsResponse{}
	for _, c := range s.containers {
		filter := r.GetFilter()
		if c.state() != runtime.ContainerState_CONTAINER_RUNNING ||
			(filter.GetId() != "" && filter.GetId() != c.id) ||
			(filter.GetPodSandboxId() != "" && filter.GetPodSandboxId() != c.sandbox.id) ||
			!matches(filter.GetLabelSelector(), c.config.GetLabels()) {
			continue
		}
		answer.Stats = append(answer.Stats, c.stats())
	}
	return answer, nil
}
