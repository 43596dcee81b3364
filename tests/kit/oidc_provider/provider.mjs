// A certified OpenID Connect provider over TLS, for the tests of gateway/identity.
// Environment: TLS_CERT, TLS_KEY (PEM files). Prints one JSON line when it serves; the line "rotate" on
// stdin replaces its signing keys and is answered by a line; end of stdin ends it.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

let serial = 0;
let callback = null;

function signingKeys() {
  serial += 1;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
  const ed = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  return [
    { ...rsa, use: "sig", alg: "RS256", kid: `rsa-${serial}` },
    { ...ec, use: "sig", alg: "ES256", kid: `ec-${serial}` },
    { ...ed, use: "sig", kid: `ed-${serial}` },
  ];
}

function person(client_id, id_token_signed_response_alg) {
  return {
    client_id,
    id_token_signed_response_alg,
    token_endpoint_auth_method: "none",
    application_type: "native",
    redirect_uris: ["http://127.0.0.1/callback"],
    grant_types: ["authorization_code"],
    response_types: ["code"],
  };
}

function makeProvider(issuer) {
  return new Provider(issuer, {
    clients: [
      person("kubetape", "RS256"),
      person("kubetape-ec", "ES256"),
      person("kubetape-ed", "EdDSA"),
      {
        client_id: "agent-7",
        client_secret: "agent-7-secret-agent-7-secret-agent-7",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    conformIdTokenClaims: false,
    cookies: { keys: ["only for tests"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "api",
          audience: "kubetape",
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: id !== "mallory", groups: ["sre", "dev"] }),
    }),
    jwks: { keys: signingKeys() },
    ttl: { IdToken: 600, Session: 600, Grant: 600, Interaction: 600 },
  });
}

const server = createServer(
  { cert: readFileSync(process.env.TLS_CERT), key: readFileSync(process.env.TLS_KEY) },
  (request, response) => callback(request, response),
);
server.listen(0, "127.0.0.1", () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const start = () => {
    callback = makeProvider(issuer).callback();
    console.log(JSON.stringify({ issuer, serial }));
  };
  start();
  createInterface({ input: process.stdin }).on("line", start).on("close", () => process.exit(0));
});
