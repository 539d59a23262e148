//! What librdkafka offers in C only; the one module with unsafe code.
//!
//! The calls are librdkafka's mock cluster API, `rdkafka_mock.h`.
#![allow(unsafe_code)]

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

/// The number of a mock cluster's first broker.
const FIRST_BROKER: i32 = 1;

/// Has the first broker of the mock cluster that `client` runs tell everybody to connect to `host` and
/// `port`, instead of the free port it listens on. Consumer groups start without their usual wait.
///
/// `false` if the client runs no mock cluster, or `host` holds a NUL.
pub(crate) fn advertise<C: ClientContext>(client: &Client<C>, host: &str, port: u16) -> bool {
    let Ok(host) = CString::new(host) else {
        return false;
    };
    // SAFETY: the pointer is a live client's, which is borrowed for this call. The cluster belongs to it
    // and lives as long. librdkafka copies the host, takes the cluster's lock in the second and third
    // call, and a null cluster is not passed on.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if cluster.is_null() {
            return false;
        }
        sys::rd_kafka_mock_broker_set_host_port(
            cluster,
            FIRST_BROKER,
            host.as_ptr(),
            i32::from(port),
        );
        sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
    }
    true
}
