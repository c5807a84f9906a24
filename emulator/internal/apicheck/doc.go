// Package apicheck validates HTTP exchanges of the Azure Batch API against Microsoft's OpenAPI description of it, on
// the server's side or on the client's. It is for tests: whatever passes a [Checker] and does not conform is reported,
// and at the end the Checker tells which operations were exercised.
//
// It is stricter than the description where that leaves room, in what follows:
//
//   - An object has no properties but the described ones. Only odata.metadata may stand at the top of an answer.
//   - A query has no parameters but the described ones.
//   - A success has one of the described statuses, not any that "default" could stand for; an answer described without
//     a body has none.
//   - The headers that the service is known to send have to be there: request-id always, client-request-id when it was
//     asked for, DataServiceId where it is described and the method is not GET, ETag and Last-Modified where they are
//     described and the resource has them (pools, jobs, job schedules, tasks; no lists), and the properties of files.
//   - An error has code and message, and nothing else unless it is described.
//   - Passwords and keys are in no answer.
//   - odata.nextLink is absolute and has an api-version, as clients follow it as it is.
//   - The formats date-time, date-time-rfc1123, duration and uuid are checked.
//
// And it is laxer where Microsoft's clients or the service are known to differ from the description: a 64-bit integer
// in a body may be a string of digits, as the service sends it and the SDK for Go wants it; the parameters timeout and
// starttime may be written timeOut and startTime, as that SDK does; the PUT of a job or a job schedule may have what
// otherwise only answers have; with $select an answer lacks properties that are required otherwise; the api-version is
// 2024-07-01.20.0, or 2022-10-01.16.0, which the Azure CLI speaks.
package apicheck

//go:generate description/generate.sh ../../../../shared/azure-batch-api/BatchService.json
