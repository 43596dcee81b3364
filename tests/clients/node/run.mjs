// The Node client, one step a run: `node run.mjs MODULES KUBECONFIG STEP`. Exits 0 if the step did what it should.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { PassThrough, Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const [modules, kubeconfig, step] = process.argv.slice(2);
const k8s = await import(pathToFileURL(createRequire(`${modules}/`).resolve('@kubernetes/client-node')));
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const own = `node-${process.pid}-${Date.now()}`;

function collect(stream) {
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    return () => Buffer.concat(pieces);
}

async function until(condition) {
    const deadline = Date.now() + 30_000;
    while (!condition()) {
        assert.ok(Date.now() < deadline, 'what was waited for did not come');
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

const steps = {
    async list() {
        const pods = await core.listPodForAllNamespaces({ labelSelector: 'app=api' });
        assert.deepEqual(pods.items.map((pod) => pod.metadata.namespace), ['payments']);
        await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: own }, data: { a: '1' } } });
        const found = await core.readNamespacedConfigMap({ namespace: 'default', name: own });
        assert.deepEqual(found.data, { a: '1' });
        await core.deleteNamespacedConfigMap({ namespace: 'default', name: own });
        await assert.rejects(core.readNamespacedConfigMap({ namespace: 'default', name: own }), (error) => error.code === 404);
    },

    async watch() {
        const seen = [];
        const watch = new k8s.Watch(config);
        let open = false;
        const request = await watch.watch('/api/v1/namespaces/default/configmaps', {}, (type, object) => {
            open = true;
            if (object.metadata.name === own) seen.push(type);
        }, () => {});
        await core.createNamespacedConfigMap({ namespace: 'default', body: { metadata: { name: own } } });
        await until(() => open && seen.includes('ADDED'));
        await core.deleteNamespacedConfigMap({ namespace: 'default', name: own });
        await until(() => seen.includes('DELETED'));
        request.abort();
        assert.deepEqual(seen, ['ADDED', 'DELETED']);
    },

    async exec() {
        const stdout = new PassThrough();
        const stderr = new PassThrough();
        const [out, err] = [collect(stdout), collect(stderr)];
        const status = await new Promise((resolve, reject) => {
            new k8s.Exec(config)
                .exec('default', 'web', 'web', ['sh', '-c', 'echo out; echo err >&2; exit 42'], stdout, stderr, null, false, resolve)
                .catch(reject);
        });
        assert.equal(status.details.causes[0].message, '42');
        await until(() => out().length && err().length);
        assert.deepEqual([out().toString(), err().toString()], ['out\n', 'err\n']);
    },

    async 'exec-stdin'() {
        const data = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
        const stdin = new PassThrough();
        const stdout = new PassThrough();
        const out = collect(stdout);
        const exec = new k8s.Exec(config);
        const socket = await exec.exec('default', 'web', 'web', ['cat'], stdout, new PassThrough(), stdin, false);
        stdin.write(data.subarray(0, 70_000));
        stdin.write(data.subarray(70_000));
        // before v5 this client says the end of stdin by closing, so the answer must be here first
        await until(() => out().length >= data.length);
        stdin.end();
        await until(() => socket.readyState === socket.CLOSED);
        assert.ok(out().equals(data));
    },

    async 'port-forward'() {
        const input = new PassThrough();
        const output = new PassThrough();
        const errors = new PassThrough();
        const [out, err] = [collect(output), collect(errors)];
        const forward = new k8s.PortForward(config);
        const socket = await forward.portForward('default', 'web', [7], output, errors, input);
        input.write('ping over legacy websocket');
        await until(() => out().length >= 26);
        assert.equal(out().toString(), 'ping over legacy websocket');
        assert.equal(err().length, 0);
        socket.close();
    },

    async logs() {
        const stream = new PassThrough();
        const out = collect(stream);
        const request = await new k8s.Log(config).log('default', 'web', 'web', stream, { follow: true, tailLines: 1 });
        await until(() => out().toString().split('\n').length > 5);
        request.abort();
    },
};

await steps[step]();
process.exit(0);
