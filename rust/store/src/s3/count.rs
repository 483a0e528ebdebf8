//! Counting what really goes over the wire, retries included.

use std::sync::Arc;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use crate::requests::{RequestCounter, RequestKind};

#[derive(Debug)]
pub(super) struct CountRequests(pub(super) Arc<RequestCounter>);

impl Intercept for CountRequests {
    fn name(&self) -> &'static str {
        "CountRequests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        self.0.count(kind(request.method(), query));
        Ok(())
    }
}

fn kind(method: &str, query: &str) -> RequestKind {
    let names = |wanted: &str| query.split('&').any(|field| field.split('=').next() == Some(wanted));
    match method {
        "PUT" => RequestKind::Put,
        "HEAD" => RequestKind::Head,
        "GET" if names("list-type") || names("uploads") => RequestKind::List,
        "GET" => RequestKind::Get,
        "POST" if names("delete") => RequestKind::Delete,
        "DELETE" if !names("uploadId") => RequestKind::Delete,
        _ => RequestKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_sorted_by_what_they_cost() {
        assert_eq!(kind("PUT", "x-id=PutObject"), RequestKind::Put);
        assert_eq!(kind("GET", "list-type=2&prefix=a"), RequestKind::List);
        assert_eq!(kind("GET", "uploads&prefix=a"), RequestKind::List);
        assert_eq!(kind("GET", "x-id=GetObject"), RequestKind::Get);
        assert_eq!(kind("POST", "delete"), RequestKind::Delete);
        assert_eq!(kind("POST", "uploads"), RequestKind::Other);
        assert_eq!(kind("DELETE", "x-id=DeleteObject"), RequestKind::Delete);
        assert_eq!(kind("DELETE", "uploadId=1"), RequestKind::Other);
    }
}
