package provider

import "context"

// DeliverDue is one turn of Deliver.
func (p *Provider) DeliverDue(ctx context.Context) (int, error) { return p.deliverDue(ctx) }

// WithChecksum is random text with the checksum of an opaque token.
func WithChecksum(random string) string { return random + checksum(opaquePrefix+random) }
