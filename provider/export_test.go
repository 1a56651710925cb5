package provider

import "context"

// DeliverDue is one turn of Deliver.
func (p *Provider) DeliverDue(ctx context.Context) (int, error) { return p.deliverDue(ctx) }
