//! The program on SNS, SQS and S3 of an emulator.

#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod support;

mod commands;
mod faults;
mod interop;
mod kill;
mod on_aws;
mod replies;
