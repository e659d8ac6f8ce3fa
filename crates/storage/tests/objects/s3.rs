//! Objects in a bucket of an emulator, below a prefix.

use crate::suite::promises;
use crate::support::Storage;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use pudato_storage::{Containers, Objects, S3Access};
use pudato_testing::{Emulator, skipped};
use serde_json::json;

fn access(emulator: &Emulator) -> S3Access {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(emulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    S3Access::new(&config).expect("complete")
}

/// A bucket of its own for each promise.
async fn open(promise: &str) -> Option<Storage> {
    let emulator = match Emulator::shared() {
        Ok(emulator) => emulator,
        Err(why) => {
            skipped(promise, &why);
            return None;
        }
    };
    let bucket = promise.replace('_', "-");
    let bucket = bucket[..bucket.len().min(60)].trim_end_matches('-');
    emulator.create_bucket(bucket).expect("a bucket");
    let lake = format!("s3://{bucket}/some/prefix");
    let containers = Containers::builder()
        .s3(access(emulator))
        .list("lake", &lake)
        .build();
    Some(Storage::new(
        Objects::new(containers.expect("containers")),
        lake,
        plant,
    ))
}

/// Keys that S3 takes from any client, and the marker that its console makes for a folder.
fn plant(storage: &Storage) -> Vec<&'static str> {
    let emulator = Emulator::shared().expect("it runs");
    let (bucket, prefix) = place(storage);
    let keys = [
        "raw/",
        "raw/../c",
        "raw/./b",
        "raw/.pudato-new.1",
        "raw//a",
        "raw/t\tb",
        "raw/z/",
    ];
    for key in keys {
        let body = if key.ends_with('/') { "" } else { "x" };
        let put = emulator.put_object(bucket, &format!("{prefix}/{key}"), body);
        put.expect("put");
    }
    // The container's own folder.
    let put = emulator.put_object(bucket, &format!("{prefix}/"), "");
    put.expect("put");
    keys.to_vec()
}

/// The bucket of `lake` and its prefix there.
fn place(storage: &Storage) -> (&str, &str) {
    let place = storage.lake.trim_start_matches("s3://");
    place.split_once('/').expect("a prefix")
}

promises!(open);

#[tokio::test]
async fn other_programs_see_what_is_put_and_what_they_put_is_got() {
    let Some(storage) = open("other_programs_see_what_is_put").await else {
        return;
    };
    let put = json!({"container": "lake", "path": "a/x.csv", "data": "1", "content_type": "text/csv",
        "metadata": {"source": "faa"}});
    storage.data("put_object", put).await;
    let emulator = Emulator::shared().expect("it runs");
    let bucket = storage.lake.trim_start_matches("s3://");
    let bucket = bucket.split('/').next().expect("a bucket");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plain = AmazonS3Builder::new()
        .with_endpoint(emulator.url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_bucket_name(bucket)
        .build()
        .expect("a client");
    let found = plain.get(&"some/prefix/a/x.csv".into()).await;
    let found = found.expect("where a plain client looks");
    let kept: Vec<String> = found
        .attributes
        .iter()
        .map(|(name, value)| format!("{name:?}={value:?}"))
        .collect();
    let kept = kept.join(" ");
    assert!(
        kept.contains("text/csv") && kept.contains("source") && kept.contains("faa"),
        "{kept}"
    );
    let written = plain
        .put(&"some/prefix/b.txt".into(), "theirs".into())
        .await;
    written.expect("written");
    let at = json!({"container": "lake", "path": "b.txt"});
    let data = storage.data("get_object", at).await;
    assert_eq!(data["data"], "theirs");
    // Metadata that S3 would refuse is refused by name.
    let put = json!({"container": "lake", "path": "m", "data": "1", "metadata": {"a": "x".repeat(3_000)}});
    let error = storage.refused("put_object", put).await;
    assert!(error.starts_with("payload.metadata: 3001 bytes"), "{error}");
}

#[tokio::test]
async fn a_prefix_is_written_as_locations_have_it() {
    let Ok(emulator) = Emulator::shared() else {
        return skipped(
            "a_prefix_is_written_as_locations_have_it",
            "there is no emulator",
        );
    };
    emulator.create_bucket("odd-prefix").expect("a bucket");
    let containers = Containers::builder()
        .s3(access(emulator))
        .list("lake", "s3://odd-prefix/a~b/c^d")
        .build();
    let objects = Objects::new(containers.expect("containers"));
    let put = objects
        .put("lake", "x", pudato_storage::Put::default())
        .await;
    assert_eq!(put.expect("put").location, "s3://odd-prefix/a~b/c^d/x");
    let found = emulator.object("odd-prefix", "a~b/c%5Ed/x");
    assert_eq!(found.as_deref(), Ok(""));
}

#[tokio::test]
async fn a_path_that_is_too_long_with_its_prefix_is_refused() {
    let Some(storage) = open("a_path_that_is_too_long").await else {
        return;
    };
    // 1,020 bytes, and 12 of the prefix.
    let path = vec!["p".repeat(254); 4].join("/") + "x";
    for action in ["get_object", "head_object", "delete_object"] {
        let error = storage
            .refused(action, json!({"container": "lake", "path": path}))
            .await;
        assert!(
            error.contains("bytes with the 12 of the container's prefix"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_waited_for_and_named() {
    let Ok(emulator) = Emulator::shared() else {
        skipped("a_bucket_that_is_not_there", "there is no emulator");
        return;
    };
    let containers = Containers::builder()
        .s3(access(emulator))
        .list("lake", "s3://nobody-made-this-bucket")
        .build();
    let objects = Objects::new(containers.expect("containers"));
    let put = objects
        .put("lake", "x", pudato_storage::Put::default())
        .await;
    let error = put.expect_err("there is no bucket");
    assert_eq!(error.kind, pudato_storage::ErrorKind::Denied);
    assert!(error.context.contains("there is no such bucket"), "{error}");
}
