//! What a process does about its memory as a whole, when it starts.

use std::time::Duration;

/// Keeps the kernel from backing the heap with huge pages. The allocator asks for them, and then a gateway that has done
/// nothing yet holds three times the memory it needs: what thousands of connections allocate is small and spread out.
/// Without the right to (an old kernel, a strict sandbox) the process only becomes larger.
pub fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// After so long the allocator takes freed memory for unused.
const UNUSED_AFTER: Duration = Duration::from_secs(2);
/// Larger than what it keeps for itself.
const LARGE_BYTES: usize = 32 * 1024 * 1024;

/// Gives back what the derivation of the keys, 16 MiB for each, has left. The allocator returns unused memory to the system
/// when something large is freed, and in an idle process nothing ever is. Takes two seconds and touches nothing.
pub async fn return_unused() {
    tokio::time::sleep(UNUSED_AFTER).await;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_are_refused() {
        super::refuse_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
