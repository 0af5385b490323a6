package packet_test

import (
	"errors"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"parlor/packet"
)

func TestConfigValidation(t *testing.T) {
	ok := func(*packet.Config) {}
	for _, c := range []struct {
		name string // in the error
		set  func(*packet.Config)
	}{
		{"", ok},
		{"", func(c *packet.Config) { c.CompressLevel = packet.LevelStore }},
		{"", func(c *packet.Config) { c.CompressLevel = -1 }},
		{"", func(c *packet.Config) { c.CompressAbove = -1 }},
		{"", func(c *packet.Config) { c.MaxFrame = 7 }},
		{"", func(c *packet.Config) { c.MaxFrame = packet.MaxPacketLength }},
		{"CompressLevel", func(c *packet.Config) { c.CompressLevel = 10 }},
		{"CompressLevel", func(c *packet.Config) { c.CompressLevel = -3 }},
		{"MaxFrame", func(c *packet.Config) { c.MaxFrame = 6 }},
		{"MaxFrame", func(c *packet.Config) { c.MaxFrame = -1 }},
		{"MaxFrame", func(c *packet.Config) { c.MaxFrame = packet.MaxPacketLength + 1 }},
		{"MaxBody", func(c *packet.Config) { c.MaxBody = -1 }},
		{"MaxDepth", func(c *packet.Config) { c.MaxDepth = 1025 }},
		{"MaxDepth", func(c *packet.Config) { c.MaxDepth = -1 }},
		{"MaxElements", func(c *packet.Config) { c.MaxElements = -1 }},
		{"MaxConns", func(c *packet.Config) { c.MaxConns = -1 }},
		{"WriteQueue", func(c *packet.Config) { c.WriteQueue = -1 }},
		{"QueuedPackets", func(c *packet.Config) { c.QueuedPackets = -1 }},
		{"QueuedBytes", func(c *packet.Config) { c.QueuedBytes = -1 }},
		{"MaxQueued", func(c *packet.Config) { c.MaxQueued = -1 }},
		{"MaxLarge", func(c *packet.Config) { c.MaxLarge = -1 }},
		{"MaxHuge", func(c *packet.Config) { c.MaxHuge = -1 }},
		{"IdleTimeout", func(c *packet.Config) { c.IdleTimeout = -1 }},
		{"HandshakeTimeout", func(c *packet.Config) { c.HandshakeTimeout = -1 }},
		{"WriteTimeout", func(c *packet.Config) { c.WriteTimeout = -time.Second }},
		{"CloseTimeout", func(c *packet.Config) { c.CloseTimeout = -1 }},
		{"CertFile", func(c *packet.Config) { c.TLS = packet.TLS{Enabled: true, CertFile: "x"} }},
		{"KeyFile", func(c *packet.Config) { c.TLS = packet.TLS{Enabled: true, KeyFile: "x"} }},
		{"/nowhere.pem", func(c *packet.Config) {
			c.TLS = packet.TLS{Enabled: true, CertFile: "/nowhere.pem", KeyFile: "/nowhere.pem"}
		}},
		{"TLS.CertFile", func(c *packet.Config) { c.TLS = packet.TLS{Enabled: true} }},
	} {
		var cfg packet.Config
		c.set(&cfg)
		s := packet.NewServer(packet.NewRegistry(), cfg)
		ln, err := s.Listen("127.0.0.1:0")
		if ln != nil {
			ln.Close()
		}
		if c.name == "" {
			if err != nil {
				t.Errorf("%+v: %v", cfg, err)
			}
			continue
		}
		if !errors.Is(err, packet.ErrConfig) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := s.ListenAndServe("127.0.0.1:0"); !errors.Is(err, packet.ErrConfig) {
			t.Errorf("%s: ListenAndServe: %v", c.name, err)
		}
		if cfg.TLS.Enabled {
			continue
		}
		if err := packet.NewClient(packet.NewRegistry(), cfg).Connect(t.Context(), "127.0.0.1:1"); !errors.Is(err, packet.ErrConfig) {
			t.Errorf("%s: client: %v", c.name, err)
		}
	}
	cfg := packet.Config{ConnType: "mine"}
	if err := packet.NewClient(packet.NewRegistry(), cfg).Connect(t.Context(), "127.0.0.1:1"); !errors.Is(err, packet.ErrNotRegistered) {
		t.Errorf("a connection type that is not there: %v", err)
	}
}

// without is a config without what cannot be compared.
func without(cfg packet.Config) packet.Config {
	cfg.Hooks = packet.Hooks{}
	return cfg
}

// defaults is what ConfigFromMap makes of nothing.
var defaults = packet.Config{
	Listen: "0.0.0.0:8080", Dial: "localhost:8080", CompressAbove: 8192, CompressLevel: 6,
	TLS: packet.TLS{RequireClientCert: true, SkipHostname: true, SkipVerify: true},
}

func TestConfigFromMap(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]any
		change  func(*packet.Config)
	}{
		{"nothing", nil, func(*packet.Config) {}},
		{"the defaults", packet.DefaultConfig(), func(*packet.Config) {}},
		{"server address", map[string]any{"net.server.addr": "h:1"}, func(c *packet.Config) { c.Listen = "h:1" }},
		{"server address over host and port", map[string]any{"net.server.addr": "h:1", "net.server.addr.host": "no", "net.server.addr.port": 2},
			func(c *packet.Config) { c.Listen = "h:1" }},
		{"server address without port", map[string]any{"net.server.addr": "h", "net.server.addr.port": 2}, func(c *packet.Config) { c.Listen = "h:2" }},
		{"server host and port", map[string]any{"net.server.addr.host": "h", "net.server.addr.port": 3}, func(c *packet.Config) { c.Listen = "h:3" }},
		{"server host with port", map[string]any{"net.server.addr.host": "h:4", "net.server.addr.port": 3}, func(c *packet.Config) { c.Listen = "h:4" }},
		{"server port alone", map[string]any{"net.server.addr.port": uint16(0)}, func(c *packet.Config) { c.Listen = "0.0.0.0:0" }},
		{"server pair", map[string]any{"net.server.addr": []any{"h", 5}}, func(c *packet.Config) { c.Listen = "h:5" }},
		{"server IPv6", map[string]any{"net.server.addr": "::1"}, func(c *packet.Config) { c.Listen = "[::1]:8080" }},
		{"server IPv6 and port", map[string]any{"net.server.addr": "[::1]:7"}, func(c *packet.Config) { c.Listen = "[::1]:7" }},
		{"server unix", map[string]any{"net.server.addr": "unix:/s"}, func(c *packet.Config) { c.Listen = "unix:/s" }},
		{"server empty host", map[string]any{"net.server.addr": ""}, func(c *packet.Config) { c.Listen = ":8080" }},
		{"client address", map[string]any{"net.client.addr": "h:1"}, func(c *packet.Config) { c.Dial = "h:1" }},
		{"client address without port", map[string]any{"net.client.addr": "h", "net.client.addr.port": 2, "net.server.addr.port": 9},
			func(c *packet.Config) { c.Dial, c.Listen = "h:2", "0.0.0.0:9" }},
		{"client host and port", map[string]any{"net.client.addr.host": "h", "net.client.addr.port": int64(3)}, func(c *packet.Config) { c.Dial = "h:3" }},
		{"compression off", map[string]any{"net.compress.enabled": false}, func(c *packet.Config) { c.NoCompression = true }},
		{"threshold", map[string]any{"net.compress.threshold": 1}, func(c *packet.Config) { c.CompressAbove = 1 }},
		{"threshold 0", map[string]any{"net.compress.threshold": 0}, func(c *packet.Config) { c.CompressAbove = -1 }},
		{"level", map[string]any{"net.compress.level": 9}, func(c *packet.Config) { c.CompressLevel = 9 }},
		{"level 0", map[string]any{"net.compress.level": 0}, func(c *packet.Config) { c.CompressLevel = packet.LevelStore }},
		{"level -1", map[string]any{"net.compress.level": -1}, func(c *packet.Config) { c.CompressLevel = -1 }},
		{"no AES", map[string]any{"net.encrypt.enabled": false}, func(*packet.Config) {}},
		{"TLS", map[string]any{"net.ssl.enabled": true}, func(c *packet.Config) { c.TLS.Enabled = true }},
		{"TLS optional", map[string]any{"net.ssl.force": false}, func(c *packet.Config) { c.TLS.Optional = true }},
		{"CA", map[string]any{"net.ssl.cafile": "ca"}, func(c *packet.Config) { c.TLS.CAFile, c.TLS.SkipVerify = "ca", false }},
		{"certificate", map[string]any{"net.ssl.server.certfile": "c", "net.ssl.server.keyfile": "k"}, func(c *packet.Config) { c.TLS.CertFile, c.TLS.KeyFile = "c", "k" }},
		{"clients without certificate", map[string]any{"net.ssl.server.force_verify": false}, func(c *packet.Config) { c.TLS.RequireClientCert = false }},
		{"host name", map[string]any{"net.ssl.client.check_hostname": true}, func(c *packet.Config) { c.TLS.SkipHostname, c.TLS.SkipVerify = false, false }},
		{"verify", map[string]any{"net.ssl.client.force_verify": true}, func(c *packet.Config) { c.TLS.SkipVerify = false }},
		{"events auto", map[string]any{"net.events.enable": "auto"}, func(*packet.Config) {}},
		{"events on", map[string]any{"net.events.enable": true}, func(*packet.Config) {}},
		{"events off", map[string]any{"net.events.enable": false}, func(c *packet.Config) { c.NoEvents = true }},
		{"debug", map[string]any{"net.debug.print.recv": true, "net.debug.print.send": true, "net.debug.print.connect": true, "net.debug.print.close": true},
			func(c *packet.Config) { c.LogRecv, c.LogSend, c.LogConnect, c.LogClose = true, true, true, true }},
		{"autosync", map[string]any{"net.registry.autosync": false}, func(c *packet.Config) { c.KeepIDs = true }},
		{"missing", map[string]any{"net.registry.missingpacketaction": "ignore"}, func(c *packet.Config) { c.AllowMissing = true }},
		{"missing by default", map[string]any{"net.registry.missingpacketaction": "closeconnection"}, func(*packet.Config) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := maps.Clone(c.options)
			got, err := packet.ConfigFromMap(given)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults
			c.change(&want)
			if !reflect.DeepEqual(without(got), want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !reflect.DeepEqual(given, c.options) {
				t.Errorf("the map was changed (D22): %v", given)
			}
		})
	}
}

func TestConfigFromMapRefuses(t *testing.T) {
	var values = map[string][]any{ // of a wrong type or out of range
		"net.server.addr":                   {1, true, []any{"h"}, []any{"h", 65536}, []any{1, 2}, []any{"h", "1"}, "h:x", "a:b:c", 1.5},
		"net.server.addr.host":              {nil, 1, "h:65536"},
		"net.server.addr.port":              {nil, "8080", -1, 65536, 80.0, true, uint64(math.MaxUint64)},
		"net.client.addr":                   {1, []any{"h", -1}, "h:-1"},
		"net.client.addr.host":              {nil, []byte("h")},
		"net.client.addr.port":              {nil, "1", int64(1) << 40},
		"net.compress.enabled":              {nil, 1, "true"},
		"net.compress.threshold":            {nil, -1, "1", 1.0, int64(1) << 33},
		"net.compress.level":                {nil, 10, -2, "6"},
		"net.encrypt.enabled":               {nil, true, 0},
		"net.ssl.enabled":                   {nil, 1},
		"net.ssl.force":                     {nil, "yes"},
		"net.ssl.cafile":                    {1, false},
		"net.ssl.server.force_verify":       {nil, 0},
		"net.ssl.server.certfile":           {[]byte("x")},
		"net.ssl.server.keyfile":            {true},
		"net.ssl.client.check_hostname":     {nil, 1},
		"net.ssl.client.force_verify":       {nil, 1},
		"net.events.enable":                 {nil, "true", "false", "on", 1},
		"net.debug.print.recv":              {nil, 1},
		"net.debug.print.send":              {nil, 1},
		"net.debug.print.connect":           {nil, 1},
		"net.debug.print.close":             {nil, 1},
		"net.registry.autosync":             {nil, "x"},
		"net.registry.missingpacketaction":  {nil, "close", true},
		"net.unknown":                       {nil, true},
		"server.addr":                       {"h"},
		"":                                  {1},
		"net.ssl.client.force_verify.extra": {true},
	}
	for key := range packet.DefaultConfig() {
		if values[key] == nil {
			t.Errorf("%s has no test", key)
		}
	}
	for key, list := range values {
		for _, v := range list {
			_, err := packet.ConfigFromMap(map[string]any{key: v})
			if !errors.Is(err, packet.ErrConfig) || !strings.Contains(err.Error(), `"`+key+`"`) {
				t.Errorf("%s = %#v: %v", key, v, err)
			}
		}
	}
	if _, err := packet.ConfigFromMap(map[string]any{"net.encrypt.enabled": true}); err == nil || !strings.Contains(err.Error(), "net.ssl.enabled") {
		t.Errorf("AES: %v", err)
	}
	packet.DefaultConfig()["net.ssl.enabled"] = true // a copy each time
	if packet.DefaultConfig()["net.ssl.enabled"] != false || len(packet.DefaultConfig()) != 25 {
		t.Error("DefaultConfig is not what it was")
	}
}
