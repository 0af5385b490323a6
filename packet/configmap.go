package packet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultConfig returns the documented options of peng3dnet with their defaults (section 13).
func DefaultConfig() map[string]any {
	return map[string]any{
		"net.server.addr": nil, "net.server.addr.host": "0.0.0.0", "net.server.addr.port": DefaultPort,
		"net.client.addr": nil, "net.client.addr.host": "localhost", "net.client.addr.port": DefaultPort,
		"net.compress.enabled": true, "net.compress.threshold": 8192, "net.compress.level": 6,
		"net.encrypt.enabled": false,
		"net.ssl.enabled":     false, "net.ssl.force": true, "net.ssl.cafile": nil,
		"net.ssl.server.force_verify": true, "net.ssl.server.certfile": nil, "net.ssl.server.keyfile": nil,
		"net.ssl.client.check_hostname": false, "net.ssl.client.force_verify": false,
		"net.events.enable":    "auto",
		"net.debug.print.recv": false, "net.debug.print.send": false, "net.debug.print.connect": false, "net.debug.print.close": false,
		"net.registry.autosync": true, "net.registry.missingpacketaction": "closeconnection",
	}
}

// ConfigFromMap makes a Config of peng3dnet's options, by their documented names and with their documented
// defaults. A key that is not known, or a value of a wrong type, is an error that names it; keys that do not
// begin with "net." too. The map is not changed.
//
// Of the options that Parlor does not have, net.encrypt.enabled is refused. net.ssl.client.force_verify false without
// net.ssl.cafile and net.ssl.client.check_hostname accepts any server, as in peng3dnet.
func ConfigFromMap(options map[string]any) (Config, error) {
	m := reader{values: DefaultConfig()}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if _, ok := m.values[key]; !ok {
			return Config{}, fmt.Errorf("%w: unknown option %q; there are: %s", ErrConfig, key,
				strings.Join(slices.Sorted(maps.Keys(m.values)), ", "))
		}
		m.values[key] = options[key]
	}
	cfg := Config{
		Listen:        m.address("net.server.addr"),
		Dial:          m.address("net.client.addr"),
		NoCompression: !m.bool("net.compress.enabled"),
		CompressAbove: m.int("net.compress.threshold", 0, MaxPacketLength),
		CompressLevel: m.int("net.compress.level", -1, 9),
		TLS: TLS{
			Enabled:           m.bool("net.ssl.enabled"),
			Optional:          !m.bool("net.ssl.force"),
			CAFile:            m.text("net.ssl.cafile"),
			CertFile:          m.text("net.ssl.server.certfile"),
			KeyFile:           m.text("net.ssl.server.keyfile"),
			RequireClientCert: m.bool("net.ssl.server.force_verify"),
			SkipHostname:      !m.bool("net.ssl.client.check_hostname"),
			SkipVerify:        !m.bool("net.ssl.client.force_verify"),
		},
		NoEvents:     !m.events(),
		LogRecv:      m.bool("net.debug.print.recv"),
		LogSend:      m.bool("net.debug.print.send"),
		LogConnect:   m.bool("net.debug.print.connect"),
		LogClose:     m.bool("net.debug.print.close"),
		KeepIDs:      !m.bool("net.registry.autosync"),
		AllowMissing: m.choice("net.registry.missingpacketaction", "closeconnection", "ignore") == "ignore",
	}
	if m.bool("net.encrypt.enabled") {
		m.fail("net.encrypt.enabled", ErrEncryption.Error()+": set net.ssl.enabled")
	}
	// What is zero in Config is its default there, and a value here.
	if cfg.CompressAbove == 0 {
		cfg.CompressAbove = -1
	}
	if cfg.CompressLevel == 0 {
		cfg.CompressLevel = LevelStore
	}
	cfg.TLS.SkipVerify = cfg.TLS.SkipVerify && cfg.TLS.CAFile == "" && cfg.TLS.SkipHostname
	return cfg, m.err
}

// reader takes options from a map, and keeps the first error.
type reader struct {
	values map[string]any
	err    error
}

func (r *reader) fail(key, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: option %q: %s", ErrConfig, key, why)
	}
}

func (r *reader) wrongType(key, want string) {
	r.fail(key, fmt.Sprintf("must be %s, not %#v", want, r.values[key]))
}

func (r *reader) bool(key string) bool {
	b, ok := r.values[key].(bool)
	if !ok {
		r.wrongType(key, "true or false")
	}
	return b
}

func (r *reader) int(key string, least, most int64) int {
	n, ok := integer(r.values[key])
	if _, isFloat := r.values[key].(float64); isFloat {
		r.wrongType(key, "an integer (encoding/json makes floats of numbers: decode them as json.Number, and convert)")
	} else if !ok {
		r.wrongType(key, "an integer")
	} else if n < least || n > most {
		r.fail(key, fmt.Sprintf("is %d, must be %d to %d", n, least, most))
	}
	return int(n)
}

// text is a string, or empty for nil.
func (r *reader) text(key string) string {
	s, ok := r.values[key].(string)
	if !ok && r.values[key] != nil {
		r.wrongType(key, "a text or nil")
	}
	return s
}

func (r *reader) choice(key string, choices ...string) string {
	s, ok := r.values[key].(string)
	if !ok || !slices.Contains(choices, s) {
		r.wrongType(key, "one of "+strings.Join(choices, ", "))
	}
	return s
}

// events is net.events.enable: "auto" means that whoever subscribes gets them.
func (r *reader) events() bool {
	if on, ok := r.values["net.events.enable"].(bool); ok {
		return on
	}
	if r.values["net.events.enable"] != "auto" {
		r.wrongType("net.events.enable", "true, false or \"auto\"")
	}
	return true
}

// address is net.X.addr if it is set, else net.X.addr.host; a port that it lacks is net.X.addr.port. Addresses may
// also be pairs of host and port.
func (r *reader) address(key string) string {
	port := r.int(key+".port", 0, 65535)
	from := key
	if r.values[key] == nil {
		from += ".host"
	}
	var text string
	switch v := r.values[from].(type) {
	case string:
		text = v
	case []any:
		if len(v) == 2 {
			host, ok := v[0].(string)
			if p, isInt := integer(v[1]); ok && isInt && p >= 0 && p <= 65535 {
				return FormatAddress(host, int(p))
			}
		}
		r.fail(from, fmt.Sprintf("must be a text, or a host and a port of 0 to 65535, not %#v", v))
		return ""
	default:
		r.wrongType(from, "a text")
		return ""
	}
	if strings.HasPrefix(text, unixPrefix) {
		return text
	}
	host, p, err := ParseAddress(text, port)
	if err != nil {
		r.fail(from, err.Error())
		return ""
	}
	return FormatAddress(host, p)
}
