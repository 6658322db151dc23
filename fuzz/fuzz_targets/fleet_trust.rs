//! Bytes as everything that trust reads: each is refused, or is the same again after it was written.
#![no_main]

use hivewall_trust::{
    Charter, EnrolRequest, EnrolResponse, Identity, Invitation, InvitationBook, Passport,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(passport) = Passport::decode(data) {
        assert_eq!(Passport::decode(&passport.encode()), Ok(passport));
    }
    if let Ok(request) = EnrolRequest::decode(data) {
        assert_eq!(EnrolRequest::decode(&request.encode()), Ok(request));
    }
    if let Ok(response) = EnrolResponse::decode(data) {
        assert_eq!(EnrolResponse::decode(&response.encode()), Ok(response));
    }
    if let Ok(book) = InvitationBook::decode(data) {
        assert_eq!(InvitationBook::decode(&book.encode()), Ok(book));
    }
    let _ = Charter::decode(data);
    let _ = Identity::decode(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(invitation) = text.parse::<Invitation>()
    {
        assert_eq!(invitation.to_string().parse(), Ok(invitation));
    }
});
