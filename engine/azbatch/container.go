package azbatch

import (
	"errors"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

// RegistryPassword is the variable with the password of [PoolSpec].RegistryUser. It is read when the pool is made.
const RegistryPassword = "CLUSTERLESS_REGISTRY_PASSWORD"

func (s *PoolSpec) checkContainer() error {
	private := s.Registry != "" || s.RegistryUser != "" || s.RegistryIdentity != ""
	switch {
	case s.Container == "" && (private || s.ContainerOptions != ""):
		return errors.New("a registry, and options of containers, are for a pool with a container: name its image with the setting container")
	case s.Container == "" || !private:
		return nil
	case s.Registry == "":
		return errors.New("the registry has no name: give it with the setting registry, as myregistry.azurecr.io")
	case s.RegistryUser != "" && s.RegistryIdentity != "":
		return errors.New("a registry lets in a user or an identity: choose one of registryuser and registryidentity")
	case s.RegistryUser == "" && s.RegistryIdentity == "":
		return errors.New("the registry lets in nobody without a name: give registryuser, with the password in the variable " + RegistryPassword + ", or registryidentity")
	case s.RegistryIdentity != "" && !strings.EqualFold(s.RegistryIdentity, s.Identity):
		return errors.New("the nodes can use the identity registryidentity only if it is theirs: name it with the setting identity too")
	}
	return nil
}

// containers is what nodes of the pool are told of containers: the image to fetch when they start, and who they are to its
// registry.
func (s *PoolSpec) containers() *azbatch.ContainerConfiguration {
	if s.Container == "" {
		return nil
	}
	c := &azbatch.ContainerConfiguration{Type: to.Ptr(azbatch.ContainerTypeDockerCompatible), ContainerImageNames: []string{s.Container}}
	switch {
	case s.RegistryIdentity != "":
		c.ContainerRegistries = []azbatch.ContainerRegistryReference{{RegistryServer: to.Ptr(s.Registry), IdentityReference: &azbatch.NodeIdentityReference{ResourceID: to.Ptr(s.RegistryIdentity)}}}
	case s.RegistryUser != "":
		c.ContainerRegistries = []azbatch.ContainerRegistryReference{{RegistryServer: to.Ptr(s.Registry), Username: to.Ptr(s.RegistryUser), Password: to.Ptr(os.Getenv(RegistryPassword))}}
	}
	return c
}

// checkPassword refuses a pool that could never fetch its image.
func (s *PoolSpec) checkPassword() error {
	if s.RegistryUser != "" && os.Getenv(RegistryPassword) == "" {
		return errors.New("the password of " + s.RegistryUser + " for " + s.Registry + " is not to be had: put it in the variable " + RegistryPassword)
	}
	return nil
}

// taskContainer is what a task of a pool with containers has to say: the service refuses one there that says nothing.
func taskContainer(p *azbatch.Pool) *azbatch.TaskContainerSettings {
	if p.VirtualMachineConfiguration == nil || p.VirtualMachineConfiguration.ContainerConfiguration == nil || len(p.VirtualMachineConfiguration.ContainerConfiguration.ContainerImageNames) == 0 {
		return nil
	}
	spec, _ := specOf(p)
	c := &azbatch.TaskContainerSettings{ImageName: to.Ptr(p.VirtualMachineConfiguration.ContainerConfiguration.ContainerImageNames[0])}
	if spec.ContainerOptions != "" {
		c.ContainerRunOptions = to.Ptr(spec.ContainerOptions)
	}
	return c
}
