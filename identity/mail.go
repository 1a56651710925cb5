package identity

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// A Mailer sends plain mails.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

type smtpMailer struct {
	client *mail.Client
	from   string
}

// NewMailer sends over SMTP: smtp://user:password@host:587 demands STARTTLS
// but to loopback, smtps:// speaks TLS from the start. from is the sender's address.
func NewMailer(address, from string) (Mailer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("mail URL is not a URL") // its text would show the password
	}
	options := []mail.Option{mail.WithTimeout(10 * time.Second)}
	switch u.Scheme {
	case "smtps":
		options = append(options, mail.WithSSLPort(false))
	case "smtp":
		policy := mail.TLSMandatory
		if h := u.Hostname(); h == "localhost" || h == "127.0.0.1" || h == "::1" {
			policy = mail.TLSOpportunistic
		}
		options = append(options, mail.WithTLSPortPolicy(policy))
	default:
		return nil, fmt.Errorf("mail URL must begin with smtp:// or smtps://")
	}
	if p := u.Port(); p != "" {
		port, err := strconv.Atoi(p)
		if err != nil {
			return nil, fmt.Errorf("mail URL: port %q is no number", p)
		}
		options = append(options, mail.WithPort(port))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	if _, err := addressKey(from); err != nil {
		return nil, fmt.Errorf("mail sender %q is not an e-mail address", from)
	}
	client, err := mail.NewClient(u.Hostname(), options...)
	if err != nil {
		return nil, fmt.Errorf("mail URL: %w", err)
	}
	return &smtpMailer{client: client, from: from}, nil
}

func (m *smtpMailer) Send(ctx context.Context, to, subject, text string) error {
	msg := mail.NewMsg()
	if err := msg.From(m.from); err != nil {
		return fmt.Errorf("mail sender: %w", err)
	}
	if err := msg.To(to); err != nil {
		return fmt.Errorf("mail recipient: %w", err)
	}
	msg.Subject(subject)
	msg.SetBodyString(mail.TypeTextPlain, text)
	if err := m.client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}
