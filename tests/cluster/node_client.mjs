// The Node client, one step a run: `node node_client.mjs MODULES KUBECONFIG NAMESPACE STEP`. Exits 0 if all went well.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import { pathToFileURL } from 'node:url';

const [modules, kubeconfig, namespace, step] = process.argv.slice(2);
const k8s = await import(pathToFileURL(createRequire(`${modules}/`).resolve('@kubernetes/client-node')));
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const own = `node-${process.pid}-${Date.now()}`;

function collect(stream) {
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    return () => Buffer.concat(pieces).toString();
}

async function until(condition) {
    const deadline = Date.now() + 30_000;
    while (!condition()) {
        assert.ok(Date.now() < deadline, 'what was waited for did not come');
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

const steps = {
    async rest() {
        const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' });
        assert.deepEqual(pods.items.map((pod) => pod.metadata.name), ['web']);
        await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: own }, data: { a: '1' } } });
        assert.deepEqual((await core.readNamespacedConfigMap({ namespace, name: own })).data, { a: '1' });
        await core.deleteNamespacedConfigMap({ namespace, name: own });
        await assert.rejects(core.readNamespacedConfigMap({ namespace, name: own }), (error) => error.code === 404);
    },

    async watch() {
        const seen = [];
        const { metadata } = await core.listNamespacedConfigMap({ namespace });
        const request = await new k8s.Watch(config).watch(
            `/api/v1/namespaces/${namespace}/configmaps`,
            { resourceVersion: metadata.resourceVersion },
            (type, object) => { if (object.metadata.name === own) seen.push(type); },
            () => {},
        );
        await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: own } } });
        await core.deleteNamespacedConfigMap({ namespace, name: own });
        await until(() => seen.length === 2);
        request.abort();
        assert.deepEqual(seen, ['ADDED', 'DELETED']);
    },

    async logs() {
        const stream = new PassThrough();
        const out = collect(stream);
        const request = await new k8s.Log(config).log(namespace, 'web', 'web', stream, { follow: true, tailLines: 1 });
        await until(() => out().split('\n').length > 5);
        request.abort();
    },

    async exec() {
        const [stdout, stderr] = [new PassThrough(), new PassThrough()];
        const [out, err] = [collect(stdout), collect(stderr)];
        const command = ['sh', '-c', 'echo out; echo err >&2; exit 42'];
        const status = await new Promise((resolve, reject) => {
            new k8s.Exec(config).exec(namespace, 'web', 'web', command, stdout, stderr, null, false, resolve).catch(reject);
        });
        assert.equal(status.details.causes[0].message, '42');
        await until(() => out() && err());
        assert.deepEqual([out(), err()], ['out\n', 'err\n']);
    },
};

await steps[step]();
process.exit(0);
