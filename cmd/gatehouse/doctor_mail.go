package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"

	"gatehouse/cmd/gatehouse/config"
)

// examineMail talks to the mail server up to the sign-in, and sends nothing.
func examineMail(ctx context.Context, cfg *config.Config) finding {
	u, err := url.Parse(cfg.Mail.URL.Reveal())
	if err != nil { // checkFiles said so; the text would show the password
		return finding{Check: "mail", What: "mail.url is no address", Evidence: "see configuration", Cause: "a character that is not escaped", Fix: "escape it as %XX"}
	}
	host := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"smtps": "465"}[u.Scheme], "587"))
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return unanswered("mail", host, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return unanswered("mail", host, err)
		}
	}
	if err := greetMail(conn, u); err != nil {
		return mailRefused(host, err)
	}
	return well("mail", "%s answers and lets us in", host)
}

func greetMail(conn net.Conn, u *url.URL) error {
	secure := &tls.Config{ServerName: u.Hostname()}
	if u.Scheme == "smtps" {
		conn = tls.Client(conn, secure)
	}
	client, err := smtp.NewClient(conn, u.Hostname())
	if err != nil {
		return err
	}
	defer client.Close()
	if offered, _ := client.Extension("STARTTLS"); offered && u.Scheme == "smtp" {
		if err := client.StartTLS(secure); err != nil {
			return err
		}
	}
	if u.User == nil {
		return client.Noop()
	}
	password, _ := u.User.Password()
	return client.Auth(smtp.PlainAuth("", u.User.Username(), password, u.Hostname()))
}

// mailRefused tells a refused sign-in from a broken connection.
func mailRefused(host string, err error) finding {
	e, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return unanswered("mail", host, err)
	}
	f := finding{Check: "mail", What: "the mail server refuses us", Evidence: e.Error(), Cause: "what it says itself", Fix: "see the log of the mail server"}
	if e.Code == 535 {
		f.What, f.Cause, f.Fix = "the mail server refuses user or password", "a password changed on one side only", "correct it in mail.url"
	}
	return f
}
