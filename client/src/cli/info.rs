//! `flink info`.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use super::{Cluster, Failure, options, script};
use crate::progress::told_of;

#[derive(Args)]
pub(super) struct Info {
    #[command(flatten)]
    cluster: Cluster,
    /// The parallelism; by default `parallelism.default` of this client's configuration, else of the cluster's.
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = options::parallelism)]
    parallelism: Option<u32>,
    /// What only Java programs have.
    #[arg(short = 'c', long = "class", hide = true, value_parser = options::no_java)]
    class: Option<String>,
    /// The SQL script.
    #[arg(value_name = "SCRIPT.sql", value_parser = OsStringValueParser::new().try_map(options::script))]
    script: PathBuf,
}

impl Info {
    pub(super) async fn act(self) -> Result<ExitCode, Failure> {
        let script = script::read(&self.script)?;
        let configuration = self.cluster.configuration_for(&script)?;
        let cluster = self.cluster.for_script(&configuration, self.parallelism)?;
        let client = &cluster.client;
        let artifact = client.upload(&script::uploaded_name(&self.script), script).await?;
        let body = Cluster::plan_request(self.cluster.job_properties(&configuration)?, self.parallelism);
        let waits = format!("{} to plan the script", client.address());
        let plan = told_of(&waits, client.plan(&artifact, &body)).await;
        script::remove(client, &artifact, &plan).await;
        let plan = serde_json::to_string_pretty(&plan?)?;
        println!("----------------------- Execution Plan -----------------------");
        println!("{plan}");
        println!("--------------------------------------------------------------");
        Ok(ExitCode::SUCCESS)
    }
}
