package repository

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a resolver that knows these hosts, and no others.
func Names(hosts map[string]string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answer(server, hosts)
		return client, nil
	}}
}

// answer speaks DNS as it is spoken over TCP: each message after its length.
func answer(connection net.Conn, hosts map[string]string) {
	defer connection.Close() //nolint:errcheck // there is nobody to tell
	for {
		var length [2]byte
		if _, err := io.ReadFull(connection, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(connection, question); err != nil {
			return
		}
		reply, err := reply(question, hosts)
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(length[:], uint16(len(reply)))
		if _, err := connection.Write(append(length[:], reply...)); err != nil {
			return
		}
	}
}

func reply(packed []byte, hosts map[string]string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packed); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	question := m.Questions[0]
	host, ok := hosts[strings.TrimSuffix(question.Name.String(), ".")]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class, TTL: 1}
	switch addr := netip.MustParseAddr(host); {
	case addr.Is4() && question.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}}}
	case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
	}
	return m.Pack()
}

// Decoy is what nobody must connect to.
type Decoy struct {
	// Host with its port.
	Host string
	hits atomic.Int64
}

// ServeDecoy listens at an address, such as 127.0.0.2:0, until the test ends.
func ServeDecoy(t testing.TB, address string) *Decoy {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // there is nobody to tell
	d := &Decoy{Host: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			d.hits.Add(1)
			connection.Close() //nolint:errcheck // there is nobody to tell
		}
	}()
	return d
}

// Hits is how many connections there were.
func (d *Decoy) Hits() int64 { return d.hits.Load() }
