//! The protocol in a world of models: any order of events, and what mirroring costs.

mod scale;
mod sim;
mod simulation;
