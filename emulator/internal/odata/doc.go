// Package odata has the part of OData that the Batch API speaks: $filter, $select and $expand, pages with $skiptoken, and
// the entity tags and conditions of requests. It follows version 3 of the protocol, which the service's error messages show
// it to use: operators and names are lower case and compared exactly.
package odata
