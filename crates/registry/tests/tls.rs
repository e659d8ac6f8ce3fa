//! A server is believed only when it shows a certificate for its name (docs/security.md).

use pudato_registry::{ErrorKind, PostgresRegistry};
use pudato_testing::{Postgres, skipped};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A server with a certificate for `name`, and the file of whom to trust.
fn server(folder: &std::path::Path, name: &str) -> Postgres {
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(authority, key);
    let own_key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let own = own.signed_by(&own_key, &issuer).expect("a certificate");
    std::fs::write(folder.join("root.pem"), root.pem()).expect("written");
    let files = [
        ("server.crt", own.pem()),
        ("server.key", own_key.serialize_pem()),
    ];
    Postgres::start_with_files(&files, &["ssl=on"]).expect("a server")
}

async fn open(url: &str) -> Result<(), pudato_registry::Error> {
    PostgresRegistry::open(url).await.map(|_| ())
}

#[tokio::test]
async fn a_server_must_show_a_certificate_for_its_name() {
    if let Err(why) = Postgres::programs() {
        return skipped("a_server_must_show_a_certificate", &why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root.pem");
    let root = root.display();
    let good = server(folder.path(), "localhost");
    let database = good.database().expect("a database").url;
    let named = database.replace("127.0.0.1", "localhost");
    open(&format!("{named}?sslmode=verify-full&sslrootcert={root}"))
        .await
        .expect("the certificate is for this name");
    // Nobody on this machine vouches for it.
    let error = open(&format!("{named}?sslmode=verify-full")).await;
    let error = error.expect_err("an unknown issuer");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.context.contains("certificate") || error.context.contains("issuer"),
        "{error}"
    );
    // It is for another name than the one that was asked for.
    let error = open(&format!(
        "{database}?sslmode=verify-full&sslrootcert={root}"
    ))
    .await;
    let error = error.expect_err("another name");
    assert!(error.context.contains("not valid for name"), "{error}");
    // It has none.
    let plain = Postgres::start().expect("a server");
    let url = plain.database().expect("a database").url;
    let url = url.replace("127.0.0.1", "localhost");
    let error = open(&format!("{url}?sslmode=verify-full&sslrootcert={root}")).await;
    let error = error.expect_err("no TLS");
    assert!(error.context.contains("TLS"), "{error}");
}
