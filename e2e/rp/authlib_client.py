"""A relying party made of Authlib, driven line by line like openid-client.mjs:
it reads its settings and the callback's address from standard input, and
writes what it has done as one JSON object a line."""

import json
import sys
import time

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet


def read():
    return sys.stdin.readline().rstrip("\n")


def say(**what):
    print(json.dumps(what), flush=True)


settings = json.loads(read())
private = settings["auth_method"] == "private_key_jwt"
key = ECKey.generate_key("P-256", {"kid": "key-1", "use": "sig", "alg": "ES256"}) if private else None
if private:
    say(jwks=json.dumps({"keys": [key.as_dict(private=False)]}))
    settings.update(json.loads(read()))  # the client is registered now

session = OAuth2Session(
    settings["client_id"],
    key if private else settings["client_secret"],
    token_endpoint_auth_method=settings["auth_method"],
    revocation_endpoint_auth_method=settings["auth_method"],
    scope="openid profile email",
    redirect_uri=settings["redirect_uri"],
    code_challenge_method="S256",
)
issuer = settings["issuer"]
metadata = session.request("GET", issuer + "/.well-known/openid-configuration", withhold_token=True).json()
assert metadata["issuer"] == issuer


def prepare():
    """Gives the next request its assertion: Authlib's own lives an hour and
    names the token endpoint; these are its settings for less."""
    if private:
        claims = {"aud": issuer, "exp": int(time.time()) + 50}
        session.register_client_auth_method(PrivateKeyJWT(alg="ES256", claims=claims, headers={"kid": "key-1"}))


verifier, nonce = generate_token(48), generate_token(20)
address, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
say(authorize=address)

prepare()
token = session.fetch_token(metadata["token_endpoint"], authorization_response=read(), state=state, code_verifier=verifier)
keys = KeySet.import_key_set(session.request("GET", metadata["jwks_uri"], withhold_token=True).json())
verified = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
claims = CodeIDToken(
    verified.claims, verified.header,
    {"iss": {"value": issuer}, "aud": {"value": settings["client_id"]}},
    {"nonce": nonce, "client_id": settings["client_id"], "access_token": token["access_token"]},
)
claims.validate(leeway=5)
say(id_token_sub=claims["sub"])
say(userinfo_email=session.get(metadata["userinfo_endpoint"]).json()["email"])

prepare()
token = session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
say(refreshed_sub=session.get(metadata["userinfo_endpoint"]).json()["sub"])

prepare()
say(introspected_sub=session.introspect_token(metadata["introspection_endpoint"], token["access_token"], "access_token").json()["sub"])
prepare()
say(revoked=str(session.revoke_token(metadata["revocation_endpoint"], token["refresh_token"], "refresh_token").status_code))
prepare()
after = session.introspect_token(metadata["introspection_endpoint"], token["access_token"], "access_token").json()
say(active_after=str(after["active"]))
