//! RSA signatures whose filling is not what RFC 8017 asks for, made with the private half of the key of RFC 7520:
//! each was once taken by some library.

use super::*;

/// What is wrong with the filling of an RSASSA-PKCS1-v1_5 signature, and the signature.
const PKCS1: [(&str, &str); 9] = [
    (
        "as it should be",
        "MiHpK8OTMWA0mnV87tm-XH91GkXM1AGEncideGT44zh4xzdaLJl0oaLHNdJLVWBTbBQgn04anFBZVj0aGJjnwixbCMQnDoXu9wB0IdJui-xSLtlESnMRy1nXSkX-fQx0kJUID4h3By8nNMv7egvJKhYi_C0Omlmv7n5ugdsHcy85DaVCV_XctHfFC-CTfQlviV9fti4g5xTsTCRRv1IEGoYZllxwz2v97IEkgtry6r-md_xJ0ik1RY2Ly-N0FqLVDtwef7psq2qQgnhOZAvY5_hP8MGvUYU6GtizZO1kqisHePHErcNmEOLV5BbtL8bzNQ5prhwz0F_67vyCgGh3kg",
    ),
    (
        "no parameters behind the digest's name",
        "aEu0qjEEcA0M0Fz-nsCBVQed8Ps3Dr5vcPZJLzONZVf5-44uwswiEhLJ-euwNdCXeD6umj1OpRhJYB60pNSz5OaQffne1j8x9bQ-Nq0C-BcTv53nHKZBomjZwq9X7NqI_x76Z8BmDCkIHpDyWBkDa9Nh6tcITDMAfQvTWDYsmU7WypFP7tjq2YCJhOriDxEduFI9c7--vvw_GzUC8jdhxUqHT9-r-_ee3V4FGMMgrWHiUeiyYir4BUtS257JF4ccx2Ab1WXOP0zfOHfVAIMRLC_ULO6DN53s-UooeyMJQFVXg_za-rs8dN2nuX-vojz6DgjX5R5-pPqQvNnQ4QBGTg",
    ),
    (
        "another digest's name",
        "Qiqv3jOjKiR5TaJa0UMBowEjRMaFWvYdWNPTD7U5nP4kzbUMx7l-5nHmlSCJIhUUmjJsMrZszvWpO9rqV5ilqVwAEHWejdPZCBBLVG8ekYTwpuKoqVRqoYWM6S4TlyDUXUcojB5xuxyXRPprG1VeIRPor-P-q4N8xi2NPOzh9gbRM74_QLL-i3d17v8RQI59POQXa-Aaz42XM-4FVactUZUokx28KcvuuqdcyOFH0AlvtHTx5qIfxjGuxYF_MNmbYCeoYAuUNtLYR2KZqBWKpyogelILTIPMDFwdQiWQ3D0KJlimDQMqxa8g9Wni_TzHlDZIvwwQs0305KKM781rxQ",
    ),
    (
        "no name of a digest at all",
        "UjJ-uJM_ZLf7o6ABJS4gaG5XgKSUuzqkz2lgaEwdPcscUk-tT8rpHpk20VH5mZFQHn-s6gPr_D1USjrDBOOQI1qT7sQKI8Ckbm2nwBYxhDGUBvs5PyYzsshRLRqW7Z3fNRbk1xy1ZABZP9FsWpVV4FdAIn24D2uZCNzdnJc9gPaEFpRl-HHTP96Lh0SqLdGAI86ihGSFJNwnZC4ng8S-nsiIKWZv7BY-lcNbNnDC57y2L_1yYUVYIagS_BmZ6EG5cGDSbC5op1AKtdu5rC4RV4TCBDpW6-10uCeDJ79hCFlNrlLLYHwL68BjgSoczQHJlfdGhtj_9sadv1Pd8BF9cg",
    ),
    (
        "bytes behind the digest",
        "YpNKn7lF-kx29E0fG19yPXrlBvo_pclZouVP9mKmMKqzgLWxrzROkLi6XpWnPvGMHL8eUVhZzRsdYH5K2xEHGHn7PB6yLl181bI0e0SJl66L-JLMusLUnRdIoeeQSbpeZC3hAZvvCFfNRl-ego6OlmXIB6V2X7onbG1uyQOhgm1qP94b8GPpRimfXdS_i7eEmIyZju1gYXmVFpoZTTC3AikgjD0CEdgtdin5_bO9WPXlScLaGLo8mfxXXoCGv-sfIAADIAqh5HiEvE5WEeOo56PZHmmLkMoq2JPIqmCEXhxOLzaGDEVFC03YWRse8hxOGd6NsXr0CA2pJku6vP54iQ",
    ),
    (
        "zero in the filling",
        "ZkoyoZqJLCZO6JXOHQrunSFyFkx9n8JD5XOeankAjHGaGebAAmrc7RzZ2bB6p6AOxeWr8-UXXQZEoY-byrmLL51Ft-OuvaKl5dr-yronpJNYSfFLEUlgYH8kvwDiL6UyZVZA_gJHIbcnQxiKnJtHsc2pRp5_sSjDa8GDeU0mDRibKZ-EoT8lL_OTK4UKwk0Pfbso5EcCNX7kBDh44RfpmUixsok9DkYfFkcHWUSufNWKOtodjbaT1YO95hWVlH8obbiYAWG1Yw01KII2rdlDa-x8KBd1BwPAqn9byPijKLbulz5bww8iYcyFOZzUy3nqxeboKLukLrNpTnV8q1lpww",
    ),
    (
        "filling of encryption",
        "YYdix7WDIR6HGRAOcw0i8-iGowpkWFzHJPo_5Uo3nGLG_PRQ4B15geTluD3Bl7o56l67GwqZAHFS8IwkWvDpr_T_UbXIL-W4GlWlGBFbJCl5aYHopCiHI9kU30eJ2TQ8ibB_2Ur-RoRFR5hXxhOvIPCBp4aQrbnkg8mMdKagQAVQGx_BTtVF-uncKiJkFWrVL8LpekcpCeQb74d0KwIKINwDMNM6-9Etb-LxGPQWdW7LWIcKl1TCsGIveM0Ip5uelQkz0yUeWdXJ_NOFe1wd7_G-sIRkBUjnCk1di8uowHYEMrOMNcnZxE_ADWY7fQAhGFPBTnLXgvdDSa6nBzozUQ",
    ),
    (
        "length in the long form",
        "Fj35BAa8IWVz7Igef0ZjxoyUh5_lndzrU-lEZeiw5uPrI_UYUAPEoY9E0oj-b0fZytMEzJPdbKK1CxQeSE1aEP6dAt5D9Gx701Qtx7BD0_nsJIxUEKvauDibZAsXMJMsD8Zexwq-5wAO5xYQw6bkm0z1_jJe6vsQnL6CjjIDujvSBaG8vnxc2Eh8u3Y9SfIYOWmRoveirJrrZxcqWI7UMuhFBljGU5BA9Sws3P3KlvfM56Kf9TRS5ZLOsUL8K3IZI54sGjHAu1d0WO0rUUw35wDT-OYvYgYxy2-m_m0jnHg6z0AuQ3wpvW-qOKI1I6uBb1_kEYROn0TIid_a_as1vw",
    ),
    (
        "the block without its filling",
        "d0g3OoGxE-2qpGGE_J1BuRlo-HgT0_JJrDY2l3nfUBIf4-dtnoJla5IKUyOXzoUdMrMQA8-9uqAmJ9JxsOYFFo73lbjnG4in3v3lZE6HpdGV7PQ3XPMzaj-uNKMYeoMfo5rkT91jnoFR5F5RIkix4oWeEnL8ERyr3nx9rIYAldL4RhH3mDEHTaEolDmaFxYwXw5jPwk9e3QYdIZeoIbsII3ksBCKK_j-Y6-LP-6Z6rrDd3eDXFyW9GlMKFyot_fvelaQTNnh5yn1py5kOynkHxKUDOgPvdOBZvOJgpjd8maKAKLDEhNdz4bTEgttM2umArnoHDXfx-peUGJOBbN3-w",
    ),
];

/// The same of RSASSA-PSS.
const PSS: [(&str, &str); 6] = [
    (
        "as it should be",
        "O2rZ2B4s5oCzsMgjtfTzHqBlbCXLSZPbUv1-JZWDtfhKPtwqT012x2OCMocNJrsvtPW_XxB90GcG7RloRfzgHCapUzvyFOrDQ5CkwQKVbE_Ki-0b92t5YV04zscWAv9hhN434Igv38J3YzT3xbhd-vmvacfImk7fifyb3_u1v8I56P98NIz9FTGufb6l0xZEIBx-_ivBhojfRSXEHNKzEEevMhNnIIKfLuaGAG_SNCjU4OW4NWeBsGCp_FIywsuAEcMzS6Qev97QUQZkCEYWwSysOkL3_aWJwtEpJvTItPx-2bntWQVjkVMi-EPvJe4Y35wpYyPCMScbFs_izQI0jw",
    ),
    (
        "no salt",
        "Lt-9GmsYGYdXpaeFMduRU0tAWUUSq8CjvVKj0ubbYBOOeANPAoHsRhdK8XQ7C-4_0-Wq2O8nARDc-q0LpALqzxmePDraLLtOmGnwtox8z7wzEWYW9PGHlaM_xoCm4FbxtmuK8OzrAey2aJRhxUfpTkFAkgTxIE3Hlpkn2CSB9cYBqiq9FI5jC__kG9qx_V3_KqmdL93b2AOJz2aGb3VH5BFLOjMrBXcA8-4jiZyixtMjZIA7xg4D-khutKwOgGIq2HJoD3T5QsM53V1NtLGi25EP5qSyqYnU4aQpqeoSmAzMbS5VB9embN3Nhy9GklPYpJMn_JoYXudeGbM7_XqtvQ",
    ),
    (
        "a short salt",
        "I4jEADVHPruR0pjCLY_ePi09B6J9cYCKRJxm4uZAjYE8ThGAN2E2F4tubPxgEBN7GsXSVXB95K-ofTBLY86B-bJ-OGAMdzD700KA1Pb0qfOktw3g2IMyCKCAg7j_F9yJc0vaep5vA29QwCnuOfjA3WeZRn5ZddAzKpNIXCBwcDMJXXsvn1h5kHspFTnHc3e0XvUlVFIF1R13RM3BAtxQ6XAJRO51mzYMSsqGk-qaLnlabyhUIJyHxMNDSWbIi5mdDoe0CUbZIDIffFwx_DppQ3shY498umLM2Wve7zpo60-acjGYpYFo4E_4gYTlmTfj4j_Mxm6bLFkSu5bjkoXkOA",
    ),
    (
        "a long salt",
        "j2jTDq-xiJraoN0gf1Nxp2t1uKXVrwsCxPJRdzAdDJFIk2WnqB_kiX2Pu0RUEIb8A8fl26P63nNLoYRIOxrMEzBa55mi1fS2oZjR9fKAcFsmJmC2Yh16QgkHUp-dtLLbveenNl52Dgi80q4iVM5jKg-50xwlYYMEEihI3XpICLldPv8S-eulzV7gLbjwIdczw3sm2T44xkdc3TXHnxDJIC5o9Sx1BJCRx3P-6-1vmIjV8sET9rfdXiXB2bS9i1WlTHvW4XIxlsEHMB6JgU90NqBllDOk_DdxRdaCdTZbBpSEeeHQ2haVEUCr2Wt2k_Gef5ysczo1pGDTD3gXah6_2A",
    ),
    (
        "another mask",
        "YGR97QKP4JheBvhMUQBsjHkGJhmgKu3cIHjj_aUEWLq2VE1D7kQbQauyP6uK3Q9LPAXFhfE9IhPWmRP7J8d3iULPmxmMoUM7CHlDywSZWE_qVF9pxqoA-oiBiGCe7n7zsLrVnZ1xsWbcnCegmvRMK-dkvbtzRIdusojRieYSa2p-L0QS113YOv2mDLGmvOF3scXaauh4JiXzqZI5nXX1oKm2jkOqUzh1DqGLu99rLr7pkLasa4c8RNLju5dZE6cxdP1qiabQtMcoHqD3XMSzVOlhsbRCnV1CidBk3LXcXOgLY_wr_8sV9cF_v_TTL10DUGDJezwo9nODwibrYnYhRA",
    ),
    (
        "another digest",
        "S_1vbHWbJt0NbfIdAd1pQy2dn_yD9fkpd3F8EyvmJwpUnCnO7jCEQ7-zoVKzb75RjRHG8wQEOkd7DkzvrEdw19yJOd3ks13eoUraHWjnrtgmW1e9tvyKnM45f8NBqNsOSb1nS9mqZiziZzTDfFJxbJAwPcZd87enn12ApRBsQybU7TBUddvyM3An8ZuR9WYopIe8xXIK1k0Y1UNQ9pmAOPLaJEbAgkbITpXll4A851wFe2ck0PIOpTfrl3GGZUz6rVGWraKOV12JGRoCIOKK6AjWGWdAfZHp3ZGIo5VA71SUFIoG7RnK4QLJMU0SKHoeHefSQUgkNWVPhfeXmJ1yLA",
    ),
];

fn taken(algorithm: &str, signature: &str) -> bool {
    let encode = |text: &str| encoding::encode(text.as_bytes());
    let header = encode(&format!(r#"{{"alg":"{algorithm}"}}"#));
    let token = format!("{header}.{}.{signature}", encode(r#"{"sub":"joe"}"#));
    Token::parse(token.as_bytes())
        .unwrap()
        .verify(&key(Algorithm::Rs256))
}

#[test]
fn one_filling_is_taken() {
    for (algorithm, cases) in [("RS256", &PKCS1[..]), ("PS256", &PSS)] {
        for (what, signature) in cases {
            assert_eq!(
                taken(algorithm, signature),
                *what == "as it should be",
                "{algorithm}: {what}"
            );
        }
    }
}

#[test]
fn one_way_of_filling_is_not_the_other() {
    assert!(!taken("PS256", PKCS1[0].1) && !taken("RS256", PSS[0].1));
    assert!(
        !taken("RS384", PKCS1[0].1) && !taken("RS512", PKCS1[0].1) && !taken("PS384", PSS[0].1)
    );
}
