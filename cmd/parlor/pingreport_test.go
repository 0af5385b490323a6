package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

// TestMedian: an even count has two in the middle.
func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sorted []time.Duration
		want   time.Duration
	}{
		{[]time.Duration{7}, 7}, {[]time.Duration{2, 4}, 3}, {[]time.Duration{1, 2, 9}, 2}, {[]time.Duration{1, 2, 4, 9}, 3},
	} {
		if got := median(test.sorted); got != test.want {
			t.Errorf("median of %d is %d, want %d", test.sorted, got, test.want)
		}
	}
}

// TestPercentage: a loss is never rounded to all or nothing.
func TestPercentage(t *testing.T) {
	t.Parallel()
	for p, want := range map[float64]string{
		0: "0", 100: "100", 50: "50", 100. / 3: "33.3", 200. / 3: "66.7", 99.5: "99.5", 99.96: "99.96", 99.99999: "99.999", 0.0123: "0.0123",
	} {
		if got := percentage(p); got != want {
			t.Errorf("%v%% is %s, want %s", p, got, want)
		}
	}
}

// TestPingQuiet: no line for a ping, but the reason if none was answered.
func TestPingQuiet(t *testing.T) {
	t.Parallel()
	addr, _ := servePackets(t, "127.0.0.1:0", pingable(t, packet.Config{}, nil))
	out, news, err := runPinging(t, addr, "-q", "-c", "3", "-i", "0", "-W", "20")
	if err != nil || news != "" || !strings.HasPrefix(out, "PING ") || strings.Contains(out, "seq=") || !strings.Contains(out, "\n3 sent, 3 answered, 0% lost\nmin/median/") {
		t.Errorf("error %v, news %q, output\n%s", err, news, out)
	}
	hangsUp := saying(t, "")
	out, news, err = runPinging(t, hangsUp, "--quiet", "-c", "3", "-i", "0", "-W", "20")
	wantCode(t, err, 1)
	if strings.Count(news, "\n") != 1 || !strings.Contains(news, "closes the connection") || out != "--- "+hangsUp+" ---\n3 sent, 0 answered, 100% lost\n" {
		t.Errorf("news %q, output\n%s", news, out)
	}
	out, news, err = runPinging(t, hangsUp, "--quiet", "--json", "-c", "3", "-i", "0", "-W", "20")
	wantCode(t, err, 1)
	var sum map[string]any
	if bad := json.Unmarshal([]byte(out), &sum); bad != nil || news != "" {
		t.Fatalf("%v: news %q, output\n%s", bad, news, out)
	}
	text, _ := sum["error"].(string)
	if sum["type"] != "summary" || sum["sent"] != 3.0 || sum["received"] != 0.0 || sum["loss_percent"] != 100.0 || !strings.Contains(text, "closes the connection") {
		t.Errorf("summary %v", sum)
	}
}

// TestPingJSONLoss: a ping that was not answered is a line as well.
func TestPingJSONLoss(t *testing.T) {
	t.Parallel()
	out, news, err := runPinging(t, saying(t, "SSH-2.0-x\r\n"), "--json", "-c", "3", "-W", "20")
	wantCode(t, err, 1)
	first, rest, _ := strings.Cut(out, "\n")
	if news != "" || !strings.HasPrefix(first, `{"type":"ping","seq":1,"error":"an SSH server answers at `) ||
		!strings.HasPrefix(rest, `{"type":"summary",`) || !strings.Contains(rest, `"sent":1,"received":0,"loss_percent":100,"error":"an SSH server`) {
		t.Errorf("news %q, output\n%s", news, out)
	}
}
