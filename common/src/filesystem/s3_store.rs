//! Stores of S3 and what speaks its protocol.
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, S3CopyIfNotExists};
use object_store::client::HttpConnector;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::answers::BoundedConnector;
use super::profile::{self, Profile};
use super::{Bucket, Error, Result, parts, unfinished};
use crate::config::options::s3;
use crate::config::{ConfigError, Configuration};

/// How long one request may take, and a request with all its repetitions.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
const RETRIES: usize = 10;

/// Whether a key says something about a store.
pub(super) fn is_relevant(key: &str) -> bool {
    ["s3.", "s3a.", "fs.s3a.", "presto.s3."].iter().any(|prefix| key.starts_with(prefix))
}

/// The store of a bucket.
pub(super) fn build(bucket: &str, config: &Configuration) -> Result<Bucket> {
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let builder = builder(bucket, config, &environment)?;
    let failed = |error| Error::object("set up the store of", &format!("s3://{bucket}"), &error);
    let (url, region) = (url(bucket, &builder), region(&builder));
    let anonymous = builder.get_config_value(&Key::SkipSignature).is_some_and(|skip| skip == "true");
    let client = BoundedConnector.connect(&client_options(&url)).map_err(failed)?;
    let store = Arc::new(builder.with_http_connector(BoundedConnector).build().map_err(failed)?);
    let uploads = unfinished::S3 { store: store.clone(), client, url, region, anonymous };
    let parts = Some(parts::Parts(store.clone()));
    Ok(Bucket { objects: store.clone(), pages: Some(store), uploads: Arc::new(uploads), parts })
}

fn client_options(url: &str) -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_allow_http(url.starts_with("http://"))
}

fn region(builder: &AmazonS3Builder) -> String {
    builder.get_config_value(&Key::Region).unwrap_or_else(|| "us-east-1".to_owned())
}

/// Where a bucket is.
fn url(bucket: &str, builder: &AmazonS3Builder) -> String {
    let hosted = builder.get_config_value(&Key::VirtualHostedStyleRequest).is_some_and(|hosted| hosted == "true");
    let endpoint = builder.get_config_value(&Key::S3Endpoint).or_else(|| builder.get_config_value(&Key::Endpoint));
    let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    match (endpoint, hosted) {
        (Some(endpoint), true) => endpoint,
        (Some(endpoint), false) => format!("{endpoint}/{bucket}"),
        (None, true) => format!("https://{bucket}.s3.{}.amazonaws.com", region(builder)),
        (None, false) => format!("https://s3.{}.amazonaws.com/{bucket}", region(builder)),
    }
}

fn builder(bucket: &str, config: &Configuration, environment: &[(String, String)]) -> Result<AmazonS3Builder> {
    let variable = |name: &str| {
        let found = environment.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    let keys = configured_keys(config)?;
    let mut builder = from_environment(environment, keys.is_none());
    let profile = profile::load(variable);
    builder = with_credentials(builder, config, keys, &profile)?;
    builder = with_endpoint(builder, bucket, config, &profile)?;
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(10), base: 2.0 };
    Ok(builder.with_bucket_name(bucket).with_copy_if_not_exists(S3CopyIfNotExists::Multipart).with_retry(RetryConfig {
        backoff,
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }))
}

/// What `AWS_*` say; without keys and tokens if they come from elsewhere.
fn from_environment(environment: &[(String, String)], with_keys: bool) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
        match name.to_ascii_lowercase().parse::<Key>() {
            Ok(Key::AccessKeyId | Key::SecretAccessKey | Key::Token) if !with_keys => {}
            Ok(key) => builder = builder.with_config(key, value),
            Err(_) => {}
        }
    }
    builder
}

/// An access key's id, its secret and, for a session's, the token.
type Keys = (String, String, Option<String>);

fn configured_keys(config: &Configuration) -> Result<Option<Keys>> {
    match (config.get_optional(&s3::ACCESS_KEY)?, config.get_optional(&s3::SECRET_KEY)?) {
        (Some(access), Some(secret)) => Ok(Some((access, secret, config.get_optional(&s3::SESSION_TOKEN)?))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::Missing(s3::SECRET_KEY.key().to_owned()).into()),
        (None, Some(_)) => Err(ConfigError::Missing(s3::ACCESS_KEY.key().to_owned()).into()),
    }
}

/// Keys of the configuration, else of the environment, else a web identity, else keys of the profile, else what the machine
/// itself is given.
fn with_credentials(
    builder: AmazonS3Builder,
    config: &Configuration,
    keys: Option<Keys>,
    profile: &Profile,
) -> Result<AmazonS3Builder> {
    if config.get_optional(&s3::CREDENTIALS_PROVIDER)?.is_some_and(|name| name.contains("Anonymous")) {
        return Ok(builder.with_skip_signature(true));
    }
    let elsewhere = [Key::AccessKeyId, Key::WebIdentityTokenFile, Key::ContainerCredentialsRelativeUri];
    let of_profile = || {
        let known = elsewhere.iter().any(|key| builder.get_config_value(key).is_some());
        let keys = profile.access_key.clone().zip(profile.secret_key.clone()).filter(|_| !known);
        keys.map(|(access, secret)| (access, secret, profile.token.clone()))
    };
    Ok(match keys.or_else(of_profile) {
        Some((access, secret, token)) => {
            let builder = builder.with_access_key_id(access).with_secret_access_key(secret);
            match token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        None => builder,
    })
}

fn with_endpoint(
    builder: AmazonS3Builder,
    bucket: &str,
    config: &Configuration,
    profile: &Profile,
) -> Result<AmazonS3Builder> {
    let known = |key: Key| builder.get_config_value(&key);
    let region = config.get_optional(&s3::REGION)?.or_else(|| known(Key::Region)).or_else(|| profile.region.clone());
    let endpoint = match config.get_optional(&s3::ENDPOINT)? {
        Some(endpoint) => Some(with_scheme(endpoint, config.get(&s3::TLS)?)),
        None => known(Key::S3Endpoint).or_else(|| known(Key::Endpoint)).or_else(|| profile.endpoint.clone()),
    };
    let path_style = config.get_optional(&s3::PATH_STYLE)?.unwrap_or(endpoint.is_some());
    let mut builder = builder.with_virtual_hosted_style_request(!path_style);
    builder = builder.with_client_options(client_options(endpoint.as_deref().unwrap_or_default()));
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    Ok(match endpoint {
        Some(endpoint) if path_style => builder.with_config(Key::S3Endpoint, endpoint),
        Some(endpoint) => builder.with_config(Key::S3Endpoint, in_host(&endpoint, bucket)),
        None => builder,
    })
}

fn with_scheme(endpoint: String, tls: bool) -> String {
    match (endpoint.contains("://"), tls) {
        (true, _) => endpoint,
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    }
}

/// The endpoint with the bucket in its host.
fn in_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn value(config: &[(&str, &str)], environment: &[(&str, &str)], key: Key) -> Option<String> {
        let config = pairs(config).into_iter().collect();
        builder("bucket", &config, &pairs(environment)).unwrap().get_config_value(&key)
    }

    #[test]
    fn configured_keys_go_before_the_environment() {
        let environment = [
            ("AWS_ACCESS_KEY_ID", "E"),
            ("AWS_SECRET_ACCESS_KEY", "ES"),
            ("AWS_SESSION_TOKEN", "ET"),
            ("AWS_REGION", "r"),
        ];
        let config = [("s3.access-key", "C"), ("s3.secret-key", "CS")];
        assert_eq!(value(&config, &environment, Key::AccessKeyId).as_deref(), Some("C"));
        assert_eq!(value(&config, &environment, Key::Token), None);
        assert_eq!(value(&config, &environment, Key::Region).as_deref(), Some("r"));
        assert_eq!(value(&[], &environment, Key::AccessKeyId).as_deref(), Some("E"));
        assert_eq!(value(&[], &environment, Key::Token).as_deref(), Some("ET"));
        let hadoop = [("fs.s3a.access.key", "H"), ("fs.s3a.secret.key", "HS")];
        assert_eq!(value(&hadoop, &environment, Key::AccessKeyId).as_deref(), Some("H"));
    }

    #[test]
    fn a_key_alone_names_what_is_missing() {
        let config = pairs(&[("s3.access-key", "C")]).into_iter().collect();
        let error = builder("bucket", &config, &[]).err().unwrap();
        assert_eq!(error.to_string(), "the option 's3.secret-key' must be set: it has no default");
    }

    #[test]
    fn endpoints() {
        let endpoint = |config: &[(&str, &str)]| value(config, &[], Key::S3Endpoint);
        assert_eq!(endpoint(&[]), None);
        assert_eq!(endpoint(&[("s3.endpoint", "http://h:9000")]).as_deref(), Some("http://h:9000"));
        assert_eq!(endpoint(&[("s3.endpoint", "h")]).as_deref(), Some("https://h"));
        let plain = [("s3.endpoint", "h"), ("s3.connection.ssl.enabled", "false")];
        assert_eq!(endpoint(&plain).as_deref(), Some("http://h"));
        let hosted = [("s3.endpoint", "https://h"), ("s3.path.style.access", "false")];
        assert_eq!(endpoint(&hosted).as_deref(), Some("https://bucket.h"));
        assert_eq!(value(&hosted, &[], Key::VirtualHostedStyleRequest).as_deref(), Some("true"));
        assert_eq!(value(&[], &[], Key::VirtualHostedStyleRequest).as_deref(), Some("true"));
    }
}
