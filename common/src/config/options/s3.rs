//! How S3 and what speaks its protocol are reached. What is not set here comes from the environment (`AWS_*`), from the
//! profile in `~/.aws`, from a web identity or from the machine, in this order.
use crate::config::ConfigOption;

/// The service's address, with or without `http://` or `https://`; not set: AWS's of the region.
pub const ENDPOINT: ConfigOption<String> =
    ConfigOption::new("s3.endpoint").fallback(&["s3a.endpoint", "fs.s3a.endpoint", "presto.s3.endpoint"]);
/// The region; not set: the environment's, else `us-east-1`.
pub const REGION: ConfigOption<String> =
    ConfigOption::new("s3.endpoint.region").fallback(&["s3.region", "s3a.endpoint.region", "fs.s3a.endpoint.region"]);
/// Whether the bucket stands in the path of a request instead of its host; not set: it does if an endpoint is set.
pub const PATH_STYLE: ConfigOption<bool> = ConfigOption::new("s3.path.style.access").fallback(&[
    "s3.path-style-access",
    "s3a.path.style.access",
    "fs.s3a.path.style.access",
    "presto.s3.path-style-access",
]);
/// Whether an endpoint without scheme is spoken to by TLS.
pub const TLS: ConfigOption<bool> = ConfigOption::new("s3.connection.ssl.enabled").default("true").fallback(&[
    "s3.ssl.enabled",
    "fs.s3a.connection.ssl.enabled",
    "presto.s3.ssl.enabled",
]);
/// The id of the access key.
pub const ACCESS_KEY: ConfigOption<String> = ConfigOption::new("s3.access-key").fallback(&[
    "s3.access.key",
    "s3a.access-key",
    "s3a.access.key",
    "fs.s3a.access.key",
    "presto.s3.access-key",
]);
/// The secret of the access key.
pub const SECRET_KEY: ConfigOption<String> = ConfigOption::new("s3.secret-key").fallback(&[
    "s3.secret.key",
    "s3a.secret-key",
    "s3a.secret.key",
    "fs.s3a.secret.key",
    "presto.s3.secret-key",
]);
/// The token of a session, where the access key belongs to one.
pub const SESSION_TOKEN: ConfigOption<String> =
    ConfigOption::new("s3.session.token").fallback(&["s3.session-token", "fs.s3a.session.token"]);
/// Of Hadoop's providers one is known: the one of a name that holds `Anonymous` turns signatures off.
pub const CREDENTIALS_PROVIDER: ConfigOption<String> = ConfigOption::new("s3.aws.credentials.provider")
    .fallback(&["s3a.aws.credentials.provider", "fs.s3a.aws.credentials.provider"]);

/// What in a path is replaced by random characters for files of state, and left out for metadata.
pub const ENTROPY_KEY: ConfigOption<String> = ConfigOption::new("s3.entropy.key");
/// How many random characters.
pub const ENTROPY_LENGTH: ConfigOption<u32> = ConfigOption::new("s3.entropy.length").default("4");

/// The scheme and authority of paths that have none, as in `s3://bucket/`.
pub const DEFAULT_SCHEME: ConfigOption<String> = ConfigOption::new("fs.default-scheme");
