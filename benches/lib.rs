//! Benchmarks of more than one kernel: `data_plane.rs` here, Nexmark in `nexmark/`. Kernels have theirs in their crates.
