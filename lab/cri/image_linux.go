package cri

import (
	"context"
	"sort"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluicehq/sluice/lab/images"
)

// imageSize is what an image is said to weigh; the kubelet wants a number.
const imageSize = 10 << 20

func describe(image images.Image) *runtime.Image {
	return &runtime.Image{Id: image.ID(), RepoTags: []string{image.Name + ":latest"}, Size: imageSize, Uid: &runtime.Int64Value{Value: 0}}
}

// lookup finds an image by reference or by the ID that PullImage answered.
func lookup(ref string) (images.Image, error) {
	for _, name := range images.Names() {
		if image, err := images.Lookup(name); err == nil && image.ID() == ref {
			return image, nil
		}
	}
	return images.Lookup(ref)
}

// PullImage says whether there is a program for the image.
func (s *Server) PullImage(_ context.Context, r *runtime.PullImageRequest) (*runtime.PullImageResponse, error) {
	image, err := images.Lookup(r.GetImage().GetImage())
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulled[image.Name] = true
	return &runtime.PullImageResponse{ImageRef: image.ID()}, nil
}

// ImageStatus describes an image that was pulled; an empty answer means that
// it was not.
func (s *Server) ImageStatus(_ context.Context, r *runtime.ImageStatusRequest) (*runtime.ImageStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	image, err := lookup(r.GetImage().GetImage())
	if err != nil || !s.pulled[image.Name] {
		return &runtime.ImageStatusResponse{}, nil
	}
	return &runtime.ImageStatusResponse{Image: describe(image)}, nil
}

// ListImages lists the images that were pulled.
func (s *Server) ListImages(context.Context, *runtime.ListImagesRequest) (*runtime.ListImagesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runtime.ListImagesResponse{}
	names := make([]string, 0, len(s.pulled))
	for name := range s.pulled {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if image, err := images.Lookup(name); err == nil {
			answer.Images = append(answer.Images, describe(image))
		}
	}
	return answer, nil
}

// RemoveImage forgets that an image was pulled.
func (s *Server) RemoveImage(_ context.Context, r *runtime.RemoveImageRequest) (*runtime.RemoveImageResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if image, err := lookup(r.GetImage().GetImage()); err == nil {
		delete(s.pulled, image.Name)
	}
	return &runtime.RemoveImageResponse{}, nil
}

// ImageFsInfo describes the file system that images would be on.
func (s *Server) ImageFsInfo(context.Context, *runtime.ImageFsInfoRequest) (*runtime.ImageFsInfoResponse, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.config.Dir, &fs); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	usage := []*runtime.FilesystemUsage{{
		Timestamp:  time.Now().UnixNano(),
		FsId:       &runtime.FilesystemIdentifier{Mountpoint: s.config.Dir},
		UsedBytes:  &runtime.UInt64Value{Value: 0},
		InodesUsed: &runtime.UInt64Value{Value: 0},
	}}
	return &runtime.ImageFsInfoResponse{ImageFilesystems: usage, ContainerFilesystems: usage}, nil
}
