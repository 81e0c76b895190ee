package lakealbum;

import io.delta.storage.S3SingleDriverLogStore;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.S3AFileSystem;
import org.apache.hadoop.fs.s3a.impl.PutObjectOptions;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.S3Exception;

/**
 * Delta's log on S3 for many writers: an entry of the log is put with {@code If-None-Match: *}, so that of several
 * drivers, and of Spark and delta-rs, one makes a version and the others are told that it is there.
 *
 * <p>Delta's own store for S3 looks first and puts then, which is safe within one driver alone. Everything else (lists,
 * reads, checkpoints) is as there. The request is S3A's own, by its client: with its credentials, encryption and headers.
 * Memory: the entry, which is in memory whole.
 */
public final class ConditionalS3LogStore extends S3SingleDriverLogStore {
    private static final int ATTEMPTS = 8;
    private static final int EXISTS = 412;
    private static final int AT_ONCE = 409;

    public ConditionalS3LogStore(Configuration conf) {
        super(conf);
    }

    @Override
    public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration conf) throws IOException {
        FileSystem files = path.getFileSystem(conf);
        if (overwrite) {
            super.write(path, actions, true, conf);
        } else if (files instanceof S3AFileSystem store) {
            create(store, store.makeQualified(path), bytesOf(actions));
        } else {
            throw new IOException(path + ": " + files.getClass().getName() + " is no S3A, whose requests this log needs");
        }
    }

    /** Puts a new object, or finds that it is there: then it is this writer's own earlier try, or another's. */
    private static void create(S3AFileSystem store, Path path, byte[] entry) throws IOException {
        S3Client client = store.getS3AInternals().getAmazonS3Client("an entry of a Delta log");
        for (int attempt = 1; ; attempt++) {
            try (var span = store.createSpan("op_create", path.toString(), null)) {
                client.putObject(request(store, path, entry.length), RequestBody.fromBytes(entry));
                return;
            } catch (S3Exception error) {
                if (error.statusCode() == EXISTS) {
                    if (Arrays.equals(read(store, path), entry)) {
                        return; // the answer to an earlier try was lost, and the SDK tried again
                    }
                    throw new FileAlreadyExistsException(path.toString());
                }
                if (error.statusCode() != AT_ONCE || attempt == ATTEMPTS) {
                    throw new IOException("PUT " + path + ": " + error.getMessage(), error);
                }
            } catch (SdkException error) {
                throw new IOException("PUT " + path + ": " + error.getMessage(), error);
            }
            pause(attempt);
        }
    }

    private static PutObjectRequest request(S3AFileSystem store, Path path, int length) {
        return store.getRequestFactory()
                .newPutObjectRequestBuilder(store.pathToKey(path), PutObjectOptions.keepingDirs(), length, false)
                .ifNoneMatch("*")
                .build();
    }

    private static byte[] read(S3AFileSystem store, Path path) throws IOException {
        try (FSDataInputStream stream = store.open(path)) {
            return stream.readAllBytes();
        }
    }

    private static byte[] bytesOf(Iterator<String> actions) {
        ByteArrayOutputStream entry = new ByteArrayOutputStream();
        while (actions.hasNext()) {
            entry.writeBytes((actions.next() + "\n").getBytes(StandardCharsets.UTF_8));
        }
        return entry.toByteArray();
    }

    private static void pause(int attempt) throws IOException {
        try {
            Thread.sleep(ThreadLocalRandom.current().nextLong(20L << attempt));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while another writer put at the same time", error);
        }
    }
}
