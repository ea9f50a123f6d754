//! Values that are missing are refused by name, or become the median of their column.

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tonic::{Code, Status};

use crate::harness::{Server, csv};

async fn import(server: &Server, name: &str, text: &str, on_missing: v1::OnMissing) -> Result<v1::Dataset, Status> {
    let header = v1::ImportHeader {
        name: name.into(),
        files: vec![v1::ImportFile { name: "d.csv".into(), format: 0 }],
        on_missing: on_missing.into(),
        ..Default::default()
    };
    let chunk = v1::ImportChunk { file: 0, data: text.as_bytes().to_vec().into() };
    let parts = [Part::Header(header), Part::Chunk(chunk)].map(|part| v1::ImportDatasetRequest { part: Some(part) });
    Ok(server.control().import_dataset(tokio_stream::iter(parts)).await?.into_inner())
}

#[tokio::test]
async fn imputed_values_are_the_medians_and_the_answer_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let text = "loss,entropy,grad_norm\n1,5,1\nNaN,,2\n3,inf,3\n9,7,4\n,6,5\n2,8,6\n";
    let imputed = import(&server, "d", text, v1::OnMissing::Impute).await.unwrap();
    let of =
        |column: &str, values, first_row, value| v1::ImputedColumn { column: column.into(), values, first_row, value };
    // The lower of the two values in the middle.
    assert_eq!(imputed.imputed, [of("loss", 2, 1, 2.0), of("entropy", 2, 1, 6.0)]);
    let columns = [
        ("loss".to_owned(), vec![1.0, 2.0, 3.0, 9.0, 2.0, 2.0]),
        ("entropy".to_owned(), vec![5.0, 6.0, 6.0, 7.0, 6.0, 8.0]),
        ("grad_norm".to_owned(), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    ];
    let whole = server.import("whole", &[], &[("whole.csv", csv(&columns))]).await.unwrap();
    assert_eq!(imputed.hash, whole.hash);
    assert_eq!(whole.imputed, []);
    let listed = server.control().get_dataset(v1::GetDatasetRequest { name: "d".into() }).await.unwrap().into_inner();
    assert_eq!(listed.imputed, []);
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("swiftsampler_values_imputed_total 4"), "{metrics}");
    server.stopped().await;
}

#[tokio::test]
async fn what_is_missing_is_refused_unless_it_is_to_be_imputed_and_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let refused = async |text: &str, on_missing, words: &str| {
        let status = import(&server, "d", text, on_missing).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(words), "{words:?} is not in {:?}", status.message());
    };
    let missing = "loss,entropy\n1,2\n3,\nNaN,4\n";
    for on_missing in [v1::OnMissing::Unspecified, v1::OnMissing::Reject] {
        refused(missing, on_missing, "\"d.csv\", column \"entropy\", row 1 (counted from 0) has no value").await;
    }
    refused("loss,entropy\n1,NaN\n3,\n", v1::OnMissing::Impute, "column \"entropy\" has no value in any row").await;
    refused("loss,entropy\n1,2\n\n3,4\n", v1::OnMissing::Impute, "row 1 (counted from 0) has no value").await;
    refused("loss,entropy\n1,2\n3,x\n", v1::OnMissing::Impute, "is \"x\": it must be a number").await;
    let crops = "loss,entropy,image,top,left,height,width\n1,2,0,0,0,1,1\n1,2,,0,0,1,1\n";
    refused(crops, v1::OnMissing::Impute, "column \"image\", row 1").await;
    for place in ["datasets", "unfinished"] {
        assert_eq!(std::fs::read_dir(directory.path().join(place)).unwrap().count(), 0);
    }
    server.stopped().await;
}
