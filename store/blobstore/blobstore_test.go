package blobstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
	"github.com/clusterless-go/clusterless/store/storetest"
)

// TestStore opens the store as a worker does: by its URL alone, with a token for its container in the environment.
func TestStore(t *testing.T) {
	server := sync.OnceValue(func() *azurite.Server { return azurite.Start(t) })
	storetest.Run(t, func(t *testing.T) store.Store {
		owner := newStore(t, server())
		token, err := owner.Token(t.Context(), time.Hour, blobstore.Delete)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(blobstore.TokenVariable, token)
		s, err := store.Open(t.Context(), owner.URL())
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
