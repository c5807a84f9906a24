package memstore_test

import (
	"testing"

	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/memstore"
	"github.com/clusterless-go/clusterless/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Cleanup(func() { memstore.Forget(t.Name()) })
		return memstore.Open(t.Name())
	})
}
