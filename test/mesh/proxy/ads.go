package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// reconnectInterval is between the end of a stream and the next.
	reconnectInterval = 100 * time.Millisecond
	// maxResponse is how large a response may be, in bytes.
	maxResponse = 64 << 20
)

// adsClient speaks the aggregated discovery service's state-of-the-world variant:
// https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol. Everything is acknowledged, with an
// error where it could not be read.
type adsClient struct {
	node   *corev3.Node
	state  *state
	accept func(*Snapshot) // is given each new configuration
	refuse func(reason string)

	// These outlive a stream: versions are told again, so that istiod knows what the proxy has.
	versions map[string]string
}

// subscription is what one stream has asked for of one type.
type subscription struct {
	nonce string
	names []string
}

// run keeps a stream to istiod until the context ends.
func (c *adsClient) run(ctx context.Context, connection grpc.ClientConnInterface) {
	c.versions = map[string]string{}
	for ctx.Err() == nil {
		_ = c.stream(ctx, connection) // it ends when istiod ends it, which is no reason to end
		select {
		case <-ctx.Done():
		case <-time.After(reconnectInterval):
		}
	}
}

// stream asks for everything, and takes what comes, until the stream ends.
func (c *adsClient) stream(ctx context.Context, connection grpc.ClientConnInterface) error {
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(connection).StreamAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("opening a stream to istiod: %w", err)
	}
	conversation := &conversation{client: c, stream: ads, subscriptions: map[string]*subscription{}}
	for _, t := range []string{clusterType, listenerType} {
		if err := conversation.request(t, nil); err != nil {
			return err
		}
	}
	for {
		response, err := ads.Recv()
		if err != nil {
			return fmt.Errorf("receiving from istiod: %w", err)
		}
		if err := conversation.take(response); err != nil {
			return err
		}
	}
}

// conversation is what is said on one stream.
type conversation struct {
	client        *adsClient
	stream        discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	subscriptions map[string]*subscription
}

// take takes a response over, acknowledges it, and asks for what it names.
func (c *conversation) take(response *discoveryv3.DiscoveryResponse) error {
	state, t := c.client.state, response.GetTypeUrl()
	s := c.subscription(t)
	s.nonce = response.GetNonce()
	err := state.take(t, response.GetResources())
	if err != nil {
		c.client.refuse(err.Error())
	} else {
		c.client.versions[t] = response.GetVersionInfo()
		c.client.accept(state.snapshot())
	}
	if err := c.request(t, err); err != nil {
		return err
	}
	switch t {
	case clusterType:
		return c.subscribe(endpointType, state.assignments())
	case listenerType:
		return c.subscribe(routeType, state.routes)
	default:
		return nil
	}
}

// subscribe asks for resources by their names, if they aren't those that were last asked for.
func (c *conversation) subscribe(t string, names []string) error {
	s := c.subscription(t)
	if slices.Equal(s.names, names) {
		return nil
	}
	s.names = names
	return c.request(t, nil)
}

// request asks for what is subscribed to, acknowledges the last response, or says what was wrong with it.
func (c *conversation) request(t string, refusal error) error {
	s := c.subscription(t)
	request := &discoveryv3.DiscoveryRequest{
		Node: c.client.node, TypeUrl: t, ResourceNames: s.names,
		VersionInfo: c.client.versions[t], ResponseNonce: s.nonce,
	}
	if refusal != nil {
		request.ErrorDetail = status.New(codes.InvalidArgument, refusal.Error()).Proto()
	}
	if err := c.stream.Send(request); err != nil {
		return fmt.Errorf("sending to istiod: %w", err)
	}
	return nil
}

func (c *conversation) subscription(t string) *subscription {
	s := c.subscriptions[t]
	if s == nil {
		s = &subscription{}
		c.subscriptions[t] = s
	}
	return s
}
