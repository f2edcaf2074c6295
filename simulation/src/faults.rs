//! What goes wrong, drawn from a seed.
use rand::Rng;
use rand::rngs::StdRng;

use crate::store::Mood;

/// How long a TaskManager offers a slot, where calls are late and nothing else goes wrong, in milliseconds.
pub const SLOT_TIMEOUT: u64 = 10_000;

/// A process by its place: 0 is the JobManager, then the TaskManagers.
pub type Place = usize;

/// Something that goes wrong. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A process stands still.
    Stall(Place, u64),
    /// A process is killed, and started anew after a time.
    Kill {
        /// Which.
        place: Place,
        /// How long it is down.
        down: u64,
        /// Its peers are not told.
        silently: bool,
    },
    /// Nothing gets from one to the other.
    Block(Place, Place, u64),
    /// What goes from one to the other takes longer.
    Slow(Place, Place, u64, u64),
    /// Calls of one kind between the JobManager and a TaskManager are late, and others overtake them.
    Late {
        /// The TaskManager.
        place: Place,
        /// Which.
        call: LateCall,
        /// How late.
        by: u64,
        /// How long such calls are.
        length: u64,
        /// After which time one of the connections breaks, while the others stay; none: it does not.
        cut_after: Option<u64>,
    },
    /// The connections between two break.
    Cut(Place, Place),
    /// One of the connections between two breaks.
    CutOne(Place, Place),
    /// The store fails for a time.
    Store(Mood, u64),
    /// A clock is stepped.
    Step(Place, i64),
    /// The client cancels a workload's job and starts another.
    Cancel(usize),
    /// The client stops a workload's job with a savepoint, and goes on from that.
    Stop(usize, Drain),
    /// The client takes a savepoint, and disposes of it.
    Savepoint(usize),
}

/// A kind of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateCall {
    /// A TaskManager offers slots to a JobMaster.
    Offer,
    /// A TaskManager says what it runs and holds.
    Report,
    /// The ResourceManager asks for a slot.
    Request,
    /// A JobMaster deploys tasks.
    Deployment,
    /// A coordinator says something to a subtask.
    EventToTask,
    /// A subtask says something to its coordinator.
    EventToCoordinator,
}

impl LateCall {
    /// The path of its requests.
    pub fn path(self) -> &'static str {
        match self {
            Self::Offer => "/wiesel.JobMaster/OfferSlots",
            Self::Report => "/wiesel.JobMaster/ReportTaskMetrics",
            Self::Request => "/wiesel.TaskExecutor/RequestSlot",
            Self::Deployment => "/wiesel.TaskExecutor/SubmitTasks",
            Self::EventToTask => "/wiesel.TaskExecutor/SendOperatorEvent",
            Self::EventToCoordinator => "/wiesel.JobMaster/SendOperatorEvent",
        }
    }

    /// Whether TaskManagers make it.
    pub fn is_to_job_manager(self) -> bool {
        matches!(self, Self::Offer | Self::Report | Self::EventToCoordinator)
    }

    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..8) {
            0..2 => Self::Offer,
            2 => Self::Report,
            3 => Self::Request,
            4 => Self::Deployment,
            5..7 => Self::EventToTask,
            _ => Self::EventToCoordinator,
        }
    }
}

/// Whether a job that stops lets event time end.
pub type Drain = bool;

/// A time up to `longest` of which short ones are as likely as long ones.
fn some_time(random: &mut StdRng, shortest: u64, longest: u64) -> u64 {
    let (low, high) = ((shortest as f64).ln(), (longest as f64).ln());
    random.random_range(low..=high).exp() as u64
}

impl Fault {
    /// One of many faults, for a cluster with so many TaskManagers and workloads.
    pub fn draw(random: &mut StdRng, task_managers: usize, workloads: usize) -> Self {
        let place = random.random_range(0..=task_managers);
        let task_manager = random.random_range(1..=task_managers);
        let other = (place + random.random_range(1..=task_managers)) % (task_managers + 1);
        match random.random_range(0..100) {
            0..30 => Self::Stall(place, some_time(random, 100, 60_000)),
            30..45 => Self::Kill {
                place: task_manager,
                down: some_time(random, 50, 30_000),
                silently: random.random_ratio(1, 4),
            },
            45..48 => Self::Kill { place: 0, down: some_time(random, 50, 20_000), silently: random.random_ratio(1, 4) },
            48..57 => Self::Block(place, other, some_time(random, 100, 60_000)),
            57..63 => Self::Late {
                place: task_manager,
                call: LateCall::draw(random),
                by: some_time(random, 100, 15_000),
                length: some_time(random, 1_000, 30_000),
                cut_after: Some(some_time(random, 10, 30_000)),
            },
            63..68 => Self::Slow(place, other, some_time(random, 10, 5_000), some_time(random, 1_000, 30_000)),
            68..72 => Self::Cut(place, other),
            72..75 => Self::CutOne(place, other),
            75..85 => {
                let failing = random.random_range(5..=100);
                let mood = Mood { failing, slow: some_time(random, 20, 20_000), hangs: random.random_ratio(1, 5) };
                Self::Store(mood, some_time(random, 500, 30_000))
            }
            85..94 => {
                let step = some_time(random, 1_000, 7_200_000) as i64;
                Self::Step(place, if random.random() { step } else { -step })
            }
            94..96 => Self::Cancel(random.random_range(0..workloads.max(1))),
            96..98 => Self::Savepoint(random.random_range(0..workloads.max(1))),
            _ => Self::Stop(random.random_range(0..workloads.max(1)), random.random_ratio(1, 4)),
        }
    }

    /// One of many faults for a cluster whose jobs outlive its JobManagers.
    pub fn draw_recovering(random: &mut StdRng, task_managers: usize, workloads: usize) -> Self {
        if random.random_ratio(1, 5) {
            Self::draw_succession(random, true)
        } else {
            Self::draw(random, task_managers, workloads)
        }
    }

    /// The JobManager dies, and another one is there after a while. `maybe_silently`: its peers may not be told.
    pub fn draw_succession(random: &mut StdRng, maybe_silently: bool) -> Self {
        Self::Kill {
            place: 0,
            down: some_time(random, 50, 15_000),
            silently: maybe_silently && random.random_ratio(1, 4),
        }
    }

    /// One of some faults that meet a checkpoint while coordinators hold back their events: between their snapshots and the word that
    /// all tasks at which it begins know of it.
    pub fn draw_at_snapshot(random: &mut StdRng, task_managers: usize) -> Self {
        let task_manager = random.random_range(1..=task_managers);
        match random.random_range(0..4) {
            0 => Self::Kill { place: 0, down: some_time(random, 50, 20_000), silently: random.random_ratio(1, 4) },
            1 => Self::Kill {
                place: task_manager,
                down: some_time(random, 50, 30_000),
                silently: random.random_ratio(1, 4),
            },
            2 => Self::Cut(0, task_manager),
            _ => Self::Stall(random.random_range(0..=task_managers), some_time(random, 100, 30_000)),
        }
    }

    /// One of many faults for which no job fails: a call is late, or the client starts a job anew.
    pub fn draw_late(random: &mut StdRng, task_managers: usize, workloads: usize) -> Self {
        if random.random_ratio(1, 5) {
            return Self::Cancel(random.random_range(0..workloads.max(1)));
        }
        let by = some_time(random, 100, 15_000);
        // An offer that arrives when its time is just over is taken, and its slot given back before a report can say so.
        let by = if by.abs_diff(SLOT_TIMEOUT) < 1_000 { SLOT_TIMEOUT + 1_000 } else { by };
        Self::Late {
            place: random.random_range(1..=task_managers),
            call: LateCall::draw(random),
            by,
            length: some_time(random, 1_000, 30_000),
            cut_after: None,
        }
    }
}
