//! The benchmarks of `vmaple`: the subjects that it is compared with, the workloads, and the rounds in which the subjects take turns. The program
//! `vmaple-bench` prints the comparison. The criterion targets run the same benches, to compare two states of the code.

pub mod allocator;
pub mod calls;
pub mod chart;
pub mod cores;
pub mod goals;
pub mod growth;
pub mod histories;
pub mod page;
pub mod regions;
pub mod results;
pub mod rounds;
pub mod subject;
pub mod subjects;
pub mod table;
pub mod workload;
pub mod workloads;
