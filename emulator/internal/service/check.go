package service

import (
	"slices"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// checkCommon checks what all kinds of tasks have.
func checkCommon(path, command string, files []model.ResourceFile, outputs []model.OutputFile,
	env []model.EnvironmentSetting, user *model.UserIdentity) error {
	if strings.TrimSpace(command) == "" {
		return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", path+"commandLine")
	}
	if err := checkFiles(path+"resourceFiles", files); err != nil {
		return err
	}
	for _, o := range outputs {
		if o.Destination.Container == nil {
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", path+"outputFiles/destination/container")
		}
	}
	if err := checkEnvironment(path+"environmentSettings", env); err != nil {
		return err
	}
	if user != nil && (user.Username == "") == (user.AutoUser == nil) {
		return apierror.Property(path+"userIdentity", user.Username, "Exactly one of username and autoUser must be given.")
	}
	return nil
}

func checkEnvironment(path string, env []model.EnvironmentSetting) error {
	for _, e := range env {
		if strings.ContainsAny(e.Name, "=\x00") || strings.Contains(e.Value, "\x00") {
			return apierror.Property(path, e.Name, "It is no name of an environment variable.")
		}
	}
	return nil
}

// checkFiles checks the sources of resource files. Where they are put is checked when they are: it is the task that fails.
func checkFiles(path string, files []model.ResourceFile) error {
	for i, f := range files {
		at := path + "/" + strconv.Itoa(i)
		sources := 0
		for _, s := range []string{f.HTTPURL, f.StorageContainerURL, f.AutoStorageContainerName} {
			if s != "" {
				sources++
			}
		}
		switch {
		case sources != 1:
			return apierror.Property(at, f.FilePath,
				"Exactly one of httpUrl, storageContainerUrl and autoStorageContainerName must be given.")
		case f.HTTPURL != "" && f.FilePath == "":
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", at+"/filePath")
		case f.HTTPURL != "" && f.BlobPrefix != "":
			return apierror.Property(at+"/blobPrefix", f.BlobPrefix, "It can be given only with a container.")
		}
		if mode := f.FileMode; mode != "" {
			if _, err := strconv.ParseUint(mode, 8, 12); err != nil {
				return apierror.Property(at+"/fileMode", mode, "It must be octal, as 0770.")
			}
		}
	}
	return nil
}

// checkUser checks that a pool has the account that a task is to run as.
func checkUser(path string, user *model.UserIdentity, accounts []model.UserAccount) error {
	if user == nil || user.Username == "" {
		return nil
	}
	if slices.ContainsFunc(accounts, func(a model.UserAccount) bool { return a.Name == user.Username }) {
		return nil
	}
	return apierror.Property(path+"/username", user.Username, "The pool has no user account of this name.")
}

// checkTaskUser is checkUser for a task. Without a pool there is nothing to check yet.
func checkTaskUser(p *pool, user *model.UserIdentity) error {
	if p == nil {
		return nil
	}
	return checkUser("userIdentity", user, p.Spec.UserAccounts)
}

func checkStartTask(t *model.StartTask, accounts []model.UserAccount) error {
	model.Default(&t.WaitForSuccess, true)
	model.Default(&t.MaxTaskRetryCount, 0)
	if t.UserIdentity == nil {
		t.UserIdentity = &model.UserIdentity{AutoUser: &model.AutoUserSpecification{Scope: "pool", ElevationLevel: "nonadmin"}}
	}
	if err := checkRetries("startTask/maxTaskRetryCount", t.MaxTaskRetryCount); err != nil {
		return err
	}
	if err := checkUser("startTask/userIdentity", t.UserIdentity, accounts); err != nil {
		return err
	}
	return checkCommon("startTask/", t.CommandLine, t.ResourceFiles, nil, t.EnvironmentSettings, t.UserIdentity)
}

// checkImage checks that the service knows the node agent, and that it is the one for the image.
func checkImage(v *model.VirtualMachineConfiguration) error {
	i := v.ImageReference
	kinds := 0
	for _, s := range []string{i.Publisher, i.VirtualMachineImageID, i.SharedGalleryImageID, i.CommunityGalleryImageID} {
		if s != "" {
			kinds++
		}
	}
	if kinds != 1 || i.Publisher != "" && (i.Offer == "" || i.SKU == "") {
		return apierror.Property("virtualMachineConfiguration/imageReference", i.Publisher,
			"It must be publisher, offer and sku, or the ID of an image, and not both.")
	}
	if !slices.ContainsFunc(images, func(k image) bool { return k.agent == v.NodeAgentSKUID }) {
		return apierror.Property("virtualMachineConfiguration/nodeAgentSKUId", v.NodeAgentSKUID,
			"The specified node agent SKU is not known.")
	}
	if i.Publisher != "" && !slices.ContainsFunc(images,
		func(k image) bool { return k.matches(i) && k.agent == v.NodeAgentSKUID }) {
		return apierror.Property("virtualMachineConfiguration/imageReference", i.Publisher+" "+i.Offer+" "+i.SKU,
			"The specified image reference with publisher, offer and sku is invalid, or not for this node agent.")
	}
	return nil
}
