//! What every wrapper of a client's stream passes on: who the other end is, how the connection was made.

/// Lets a struct answer for its field `stream` where the platform asks about the connection.
macro_rules! tells_of_its_stream {
    ($wrapper:ident) => {
        impl ::pingora::protocols::UniqueID for $wrapper {
            fn id(&self) -> ::pingora::protocols::UniqueIDType {
                self.stream.id()
            }
        }

        impl ::pingora::protocols::Ssl for $wrapper {
            fn get_ssl_digest(
                &self,
            ) -> Option<::std::sync::Arc<::pingora::protocols::tls::SslDigest>> {
                self.stream.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<::pingora::protocols::ALPN> {
                self.stream.selected_alpn_proto()
            }
        }

        impl ::pingora::protocols::GetTimingDigest for $wrapper {
            fn get_timing_digest(&self) -> Vec<Option<::pingora::protocols::TimingDigest>> {
                self.stream.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> ::std::time::Duration {
                self.stream.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> ::std::time::Duration {
                self.stream.get_write_pending_time()
            }
        }

        impl ::pingora::protocols::GetProxyDigest for $wrapper {
            fn get_proxy_digest(
                &self,
            ) -> Option<::std::sync::Arc<::pingora::protocols::raw_connect::ProxyDigest>> {
                self.stream.get_proxy_digest()
            }
        }

        impl ::pingora::protocols::GetSocketDigest for $wrapper {
            fn get_socket_digest(
                &self,
            ) -> Option<::std::sync::Arc<::pingora::protocols::SocketDigest>> {
                self.stream.get_socket_digest()
            }
        }
    };
}

pub(crate) use tells_of_its_stream;
