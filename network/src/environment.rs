//! What a TaskManager has one of: the data port, its connections, and the network memory.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use wiesel_common::connections::{Admission, Gate, Refusal, listen};
use wiesel_common::notifier::Notifier;
use wiesel_common::spawn;

use crate::buffer_pool::{LocalBufferPool, NetworkBufferPool};
use crate::client::Connection;
use crate::codec::{Encoder, schema_checksum};
use crate::error::{Error, Result};
use crate::gate::{GateShared, InputGate};
use crate::handshake::{Agreement, welcome};
use crate::id::{ChannelKey, PartitionId};
use crate::options::{Flush, Options};
use crate::partition::{PartitionParts, ResultPartition, Target};
use crate::partitioner::Partitioner;
use crate::server::{End, serve};
use crate::subpartition::{Registry, Subpartition};
use crate::wait::Waiter;

/// A partition to be made.
#[derive(Clone, Debug)]
pub struct PartitionDescriptor {
    /// What it is called.
    pub id: PartitionId,
    /// Its consumers in order: the subtask, and whether it runs in another TaskManager.
    pub consumers: Vec<(u32, bool)>,
    /// Who gets which rows.
    pub partitioner: Partitioner,
    /// What goes in.
    pub schema: SchemaRef,
    /// When gathered rows are sent.
    pub flush: Flush,
    /// Rows may go beyond the budget for as long as the task is within a step, so that it always comes to its end: unaligned
    /// checkpoints need that. A step is then begun only while [`ResultPartition::is_available`].
    pub overdraft: bool,
}

/// A gate to be made.
#[derive(Clone, Debug)]
pub struct GateDescriptor {
    /// The channels in order: the partition, and the data plane address of its TaskManager unless it is this one.
    pub producers: Vec<(PartitionId, Option<String>)>,
    /// The consuming subtask.
    pub consumer: u32,
    /// What travels on the channels: [`PartitionDescriptor::schema`] of their producers.
    pub schema: SchemaRef,
}

/// Segments that a partition may take while there are enough, however few its consumers: a batch of columns is larger than
/// a buffer, and each consumer should have one waiting while it works on another.
const PARTITION_ROOM: usize = 64;

/// A TaskManager's data plane.
pub struct NetworkEnvironment {
    options: Options,
    pool: Arc<NetworkBufferPool>,
    registry: Arc<Registry>,
    connections: Mutex<HashMap<String, (Arc<Connection>, AbortHandle)>>,
    runtime: Handle,
    port: u16,
    acceptor: AbortHandle,
}

impl NetworkEnvironment {
    /// Binds the data port and starts to accept connections on it.
    ///
    /// # Errors
    /// [`Error::Bind`] if none of the addresses can be bound.
    pub async fn start(options: Options, addresses: &[SocketAddr]) -> Result<Arc<Self>> {
        let listener = listen(addresses).await.map_err(|error| Error::Bind {
            address: addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ").into(),
            cause: error.to_string().into(),
        })?;
        let bound = listener
            .local_addr()
            .map_err(|error| Error::Bind { address: "".into(), cause: error.to_string().into() })?;
        let registry = Arc::new(Registry::default());
        let runtime = Handle::current();
        let acceptor = spawn::owned_on(&runtime, accept(listener, registry.clone(), options.clone())).abort_handle();
        Ok(Arc::new(Self {
            pool: NetworkBufferPool::new(options.memory, options.segment_size),
            options,
            registry,
            connections: Mutex::default(),
            runtime,
            port: bound.port(),
            acceptor,
        }))
    }

    /// The data port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The network memory.
    pub fn pool(&self) -> &Arc<NetworkBufferPool> {
        &self.pool
    }

    /// Connections made to producers that are alive.
    pub fn connections(&self) -> usize {
        self.connections.lock().values().filter(|(connection, _)| !connection.is_dead()).count()
    }

    /// Subpartitions offered and waited for.
    pub fn registered(&self) -> usize {
        self.registry.len()
    }

    /// Makes a partition known and gives it to its task.
    ///
    /// # Errors
    /// [`Error::InsufficientBuffers`]; or what is wrong with the keys.
    pub fn create_partition(&self, descriptor: PartitionDescriptor, waiter: Waiter) -> Result<ResultPartition> {
        let PartitionDescriptor { id, consumers, partitioner, schema, flush, overdraft } = descriptor;
        let options = &self.options;
        let required = consumers.len() + 1;
        let usual = consumers.len() * options.buffers_per_channel + options.floating_buffers_per_gate;
        let max = usual.max(PARTITION_ROOM);
        let pool = LocalBufferPool::new(&self.pool, required, max, waiter.notifier().clone())?;
        let enough = (usual * self.pool.segment_size() / (2 * consumers.len().max(1))).max(1);
        let max_bytes = options.max_buffers_per_channel.max(1) * self.pool.segment_size();
        let checksum = schema_checksum(&schema);
        let targets: Vec<_> = consumers
            .into_iter()
            .map(|(consumer, remote)| {
                let key = ChannelKey { partition: id, consumer };
                let notifier = waiter.notifier().clone();
                let subpartition = Subpartition::new(key, pool.clone(), max_bytes, checksum, notifier);
                Target { subpartition, remote }
            })
            .collect();
        let partition = ResultPartition::new(PartitionParts {
            targets,
            partitioner,
            schema,
            producer: id.producer,
            encoder: Encoder::new(options.compression)?.with_checksums(options.payload_checksums),
            pool,
            enough,
            waiter,
            flush,
            overdraft,
            registry: self.registry.clone(),
        })?;
        partition.offer();
        Ok(partition)
    }

    /// Makes a gate, whose channels are opened in the background. Partitions of this process must exist.
    ///
    /// # Errors
    /// [`Error::InsufficientBuffers`]; [`Error::PartitionNotFound`] for one that should be in this process.
    pub fn create_gate(&self, descriptor: GateDescriptor, notifier: Arc<Notifier>) -> Result<InputGate> {
        let GateDescriptor { producers, consumer, schema } = descriptor;
        let options = &self.options;
        let remote = producers.iter().filter(|(_, address)| address.is_some()).count();
        let exclusive = self.pool.reserve(remote * options.buffers_per_channel.max(1))?;
        let shared = GateShared::new(
            producers.len(),
            notifier,
            exclusive,
            options.buffers_per_channel.max(1),
            self.pool.reserve(0)?,
            options.floating_buffers_per_gate,
            self.pool.segment_size(),
        );
        let checksum = schema_checksum(&schema);
        let mut gate = InputGate::new(shared.clone(), schema);
        for (index, (partition, address)) in producers.into_iter().enumerate() {
            let key = ChannelKey { partition, consumer };
            match address {
                None => gate.add_local(self.registry.find(&key).ok_or(Error::PartitionNotFound(partition))?)?,
                Some(address) => loop {
                    let connection = self.connection(&address);
                    if let Some(channel) = connection.open(key, shared.clone(), index as u32, checksum) {
                        gate.add_remote(channel);
                        break;
                    }
                },
            }
        }
        Ok(gate)
    }

    /// The living connection to an address; made if there is none.
    fn connection(&self, address: &str) -> Arc<Connection> {
        let mut connections = self.connections.lock();
        connections.retain(|_, (connection, _)| !connection.is_dead());
        if let Some((connection, _)) = connections.get(address) {
            return connection.clone();
        }
        let connection = Connection::new(address);
        let task = spawn::owned_on(&self.runtime, connection.clone().run(self.options.clone())).abort_handle();
        connections.insert(address.to_owned(), (connection.clone(), task));
        connection
    }
}

impl Drop for NetworkEnvironment {
    fn drop(&mut self) {
        self.acceptor.abort();
        for (address, (connection, task)) in self.connections.lock().drain() {
            task.abort();
            connection.fail(&Error::ConnectionClosed(address.into()));
        }
    }
}

/// Owns the connections that other TaskManagers make; they end with it.
async fn accept(listener: TcpListener, registry: Arc<Registry>, options: Options) {
    let mut connections = JoinSet::new();
    let admission = Arc::new(Admission::by_open_files("data plane"));
    let mut gate = Gate::new(listener, admission.clone());
    let greeting = {
        let options = options.clone();
        move |stream| greet(stream, options.clone())
    };
    loop {
        let ((stream, agreement), peer, room) = tokio::select! {
            entered = gate.next(greeting.clone()) => entered,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (registry, options, admission) = (registry.clone(), options.clone(), admission.clone());
        connections.spawn(async move {
            let _room = room;
            match serve(stream, agreement, registry, &options).await {
                End::Closed => tracing::debug!(%peer, "data plane connection closed"),
                End::Io(error) => tracing::info!(%peer, %error, "data plane connection lost"),
                End::Protocol(cause) => admission.refused(peer, &cause),
            }
        });
    }
}

async fn greet(mut stream: TcpStream, options: Options) -> Result<(TcpStream, Agreement), Refusal> {
    let agreement = welcome(&mut stream, &options).await?;
    Ok((stream, agreement))
}
