//! Opening a connection: address after address, each with a fair share of the time.
//!
//! Go races IPv6 against IPv4; here the addresses are tried in turn, IPv4 first.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::deadline::Deadline;
use super::error::NetError;
use crate::base::Reason;

/// The least time for one address, unless less is left in all.
const SHARE: Duration = Duration::from_secs(2);

/// Connects to the first address that lets us, and says which one that was. `timeout` bounds the dialling (`dialer_timeout`),
/// `deadline` the whole exchange. The error is that of the first address, as in Go.
pub async fn dial(
    addresses: &[SocketAddr],
    timeout: Option<Duration>,
    deadline: Deadline,
) -> Result<(TcpStream, SocketAddr), NetError> {
    let dialling = timeout.map_or(Deadline::NEVER, Deadline::after);
    let both = deadline.earlier(dialling);
    let mut first = None;
    for (index, address) in addresses.iter().enumerate() {
        let others = addresses.len().saturating_sub(index);
        let share = share(both, others);
        let failed = match share.run(TcpStream::connect(address)).await {
            Some(Ok(tcp)) => {
                // Failing to set an option is no reason to give a connection up.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, *address));
            }
            Some(Err(error)) => NetError::dial(*address, &error),
            None => timed_out(*address),
        };
        first.get_or_insert(failed);
        if passed(deadline) {
            return Err(NetError::connect_deadline());
        }
        if passed(dialling) {
            break;
        }
    }
    Err(first.unwrap_or_else(|| NetError::new(Reason::NoHosts, "no addresses")))
}

/// The moment until which one address may be tried when `others` (itself included) are left.
fn share(both: Deadline, others: usize) -> Deadline {
    let Some(left) = both.left() else { return both };
    let part = left / u32::try_from(others.max(1)).unwrap_or(u32::MAX);
    both.earlier(Deadline::after(part.max(SHARE)))
}

fn passed(deadline: Deadline) -> bool {
    deadline.left() == Some(Duration::ZERO)
}

fn timed_out(address: SocketAddr) -> NetError {
    NetError::new(
        Reason::ConnectTimeout,
        format!("dial tcp {address}: i/o timeout"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// An address that nobody listens on.
    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[tokio::test]
    async fn the_next_address_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [closed().await, listener.local_addr().unwrap()];
        let (tcp, peer) = dial(&addresses, None, Deadline::NEVER).await.unwrap();
        assert_eq!(
            (peer, tcp.peer_addr().unwrap()),
            (addresses[1], addresses[1])
        );
    }

    #[tokio::test]
    async fn refused_is_told_of_the_first_address() {
        let addresses = [closed().await, closed().await];
        let error = dial(&addresses, None, Deadline::NEVER).await.unwrap_err();
        assert_eq!(error.reason, Reason::ConnectRefused);
        let expected = format!("dial tcp {}: connect: connection refused", addresses[0]);
        assert_eq!(error.text, expected);
    }

    #[tokio::test]
    async fn no_address_is_an_error() {
        assert!(dial(&[], None, Deadline::NEVER).await.is_err());
    }
}
