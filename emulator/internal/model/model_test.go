package model_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		out  string
	}{
		{"PT15M", 15 * time.Minute, "PT15M"},
		{"PT06M00S", 6 * time.Minute, "PT6M"},
		{"P3Y6M4DT12H30M5S", (1279*24+12)*time.Hour + 30*time.Minute + 5*time.Second, "P1279DT12H30M5S"},
		{"PT0S", 0, "PT0S"},
		{"P0D", 0, "PT0S"},
		{"PT0.5S", time.Second / 2, "PT0.5S"},
		{"PT1.0000001S", time.Second + 100, "PT1.0000001S"},
		{"P7D", 7 * 24 * time.Hour, "P7D"},
		{"P1W", 7 * 24 * time.Hour, "P7D"},
		{"-PT1M", -time.Minute, "-PT1M"},
		{"pt1h", time.Hour, "PT1H"},
		{"P10675199DT2H48M5.4775807S", time.Duration(model.Unlimited), "P10675199DT2H48M5.4775807S"},
		{"P300000D", time.Duration(model.Unlimited), "P10675199DT2H48M5.4775807S"},
	} {
		got, err := model.ParseDuration(c.in)
		if err != nil || time.Duration(got) != c.want || got.String() != c.out {
			t.Errorf("%s is %v (%s), %v; want %v (%s)", c.in, time.Duration(got), got, err, c.want, c.out)
		}
	}
	for _, bad := range []string{"", "P", "PT", "P1", "1H", "PT1H2", "P1DT", "PT1X", "PT-1H", "P1H", "PT1S1M", "an hour"} {
		if got, err := model.ParseDuration(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"PT15M", "P3Y6M4DT12H30M5.5S", "-P1D", "P10675199DT2H48M5.4775807S"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := model.ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := model.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s, %v", s, d, again, err)
		}
	})
}

func TestDecode(t *testing.T) {
	good, err := model.Decode[model.JobAddParameter]([]byte(`{"id":"j","poolInfo":{"poolId":"p"},"onAllTasksComplete":"TerminateJob","displayName":null}`))
	if err != nil || good.OnAllTasksComplete != "terminatejob" {
		t.Errorf("%+v, %v", good, err)
	}
	for body, want := range map[string]string{
		``:               "InvalidRequestBody",
		`[]`:             "InvalidRequestBody",
		`{"id":"j"`:      "InvalidRequestBody",
		`{"id":"j"}`:     "MissingRequiredProperty",
		`{"id":"j"} {}`:  "InvalidRequestBody",
		`{"colour":"x"}`: "InvalidRequestBody",
		`{"id":"j","poolInfo":{},"onTaskFailure":"x"}`:                                                                          "InvalidPropertyValue",
		`{"id":"j","poolInfo":{},"jobManagerTask":{"id":"m"}}`:                                                                  "MissingRequiredProperty",
		`{"id":"j","poolInfo":{},"commonEnvironmentSettings":[{"name":"a"},{"value":"b"}]}`:                                     "MissingRequiredProperty",
		`{"id":"j","poolInfo":{},"jobManagerTask":{"id":"m","commandLine":"x","authenticationTokenSettings":{"access":["x"]}}}`: "InvalidPropertyValue",
	} {
		_, err := model.Decode[model.JobAddParameter]([]byte(body))
		var e *apierror.Error
		if !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"t","commandLine":"true","dependsOn":{"taskIdRanges":[{"start":1,"end":2}]},"constraints":{"maxWallClockTime":"PT1H"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := model.Decode[model.TaskAddParameter](b)
		if err != nil {
			return
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := model.Decode[model.TaskAddParameter](out); err != nil {
			t.Errorf("%s is read, and its like %s is not: %v", b, out, err)
		}
	})
}
