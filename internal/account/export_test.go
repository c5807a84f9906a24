package account

import "time"

// PollFast is for tests, in which nothing takes long.
func PollFast(c *Client) { c.poll = time.Millisecond }
